import { Decompress } from 'fzstd';
import { MultifdError } from '../../util/errors.ts';
import type { Decoder } from '../codec.ts';
import { broken, Filling } from '../decoded.ts';
import { FRAME_HEADER_LENGTH } from './zstd-frame.ts';

/**
 * The decoder gives out no frame's blocks before it has 18 bytes, and keeps for good every chunk
 * that ends exactly between two blocks. So each chunk gets empty blocks around it (three bytes of
 * zero: not the last, stored, of size 0): four behind the frame header, and one that begins at the
 * end of a chunk and is completed by the next.
 */
const EMPTY_BLOCKS_BYTES = 12;
const SPLIT_HEAD = 1;
const SPLIT_REST = 2;

/**
 * zstd decoding in plain JavaScript, for runtimes without a native one. Any number of channels of a
 * thread can have one. Payloads have the form that zstd-frame.ts demands.
 */
export function scriptZstdDecoder(): Decoder {
  let take: (piece: Uint8Array) => void = () => {};
  let first = true;
  const stream = new Decompress((piece) => take(piece));

  /**
   * The payload's blocks between empty ones, in plain memory: the library does not expect it to be
   * shared.
   */
  function surround(payload: Uint8Array): Uint8Array {
    const header = first ? payload.subarray(0, FRAME_HEADER_LENGTH) : payload.subarray(0, 0);
    const before = first ? EMPTY_BLOCKS_BYTES : SPLIT_REST;
    const chunk = new Uint8Array(payload.length + before + SPLIT_HEAD);
    chunk.set(header);
    chunk.set(payload.subarray(header.length), header.length + before);
    return chunk;
  }

  return {
    async decode(payload, into) {
      const chunk = surround(payload);
      first = false;
      const pages = new Filling(into);
      take = (piece) => pages.take(piece);
      try {
        stream.push(chunk);
      } catch (cause) {
        throw cause instanceof MultifdError ? cause : broken(String(cause), cause);
      }
      if (pages.lack !== undefined) throw pages.lack;
    },
    close: () => {},
  };
}
