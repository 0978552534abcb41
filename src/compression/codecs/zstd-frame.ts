import { totalLength } from '../../util/bytes.ts';
import { MultifdError } from '../../util/errors.ts';
import type { Decoder } from '../codec.ts';
import { tooMuch } from '../decoded.ts';

/**
 * What a channel's zstd stream may look like (RFC 8878): one frame for the whole migration, whose
 * length is not known at its start, and per packet a number of whole blocks, none of them the last.
 *
 * ```
 * frame header   28 b5 2f fd | u8 descriptor | u8 window        first packet only
 * block          u24 LE: bit 0 last, bits 1-2 type, bits 3-23 size | content
 * ```
 */

/** Bytes of the header of a frame without dictionary and without a content size. */
export const FRAME_HEADER_LENGTH = 6;

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
/**
 * The descriptor's only bit that a stream can have: a checksum at the end of the frame. Others say
 * single segment, content size, dictionary.
 */
const CHECKSUM = 0x04;
/**
 * 10 + 17: windows of up to 128 MiB, libzstd's own limit for streams. The exponent is in bits 3 to
 * 7, an eighth's count in the others.
 */
const MAX_WINDOW = 17 << 3;

const BLOCK_HEADER_LENGTH = 3;
const Block = { STORED: 0, REPEATED: 1, COMPRESSED: 2 } as const;
/** The most bytes that a block may hold, and yield. */
const MAX_BLOCK_BYTES = 128 * 1024;
/**
 * A packet's pages fill 4 blocks; libzstd may split each in 196. More would only cost time: a
 * decoder moves its window for each.
 */
const MAX_BLOCKS = 1024;

/**
 * Puts a zstd decoder behind these rules: what it gets to see is a channel's stream, by its outer
 * form.
 */
export function strictZstdDecoder(decoder: Decoder): Decoder {
  let first = true;
  const demandForm = (payload: Uint8Array, bytes: number): void => {
    if (first) demandStreamFrame(payload);
    demandFlushedBlocks(payload, first ? FRAME_HEADER_LENGTH : 0, bytes);
    first = false;
  };
  const { decodeInPlace } = decoder;
  return {
    async decode(payload, into) {
      demandForm(payload, into.length);
      await decoder.decode(payload, into);
    },
    ...(decodeInPlace !== undefined && {
      async decodeInPlace(payload: Uint8Array, into: readonly Uint8Array[]) {
        demandForm(payload, totalLength(into));
        await decodeInPlace(payload, into);
      },
    }),
    close: () => decoder.close(),
  };
}

/**
 * Refuses anything but the frame header above. A decoder allocates the window that it asks for
 * before it has seen any data.
 */
function demandStreamFrame(payload: Uint8Array): void {
  const descriptor = payload[4];
  const window = payload[5];
  if (
    !MAGIC.every((byte, at) => payload[at] === byte) ||
    descriptor === undefined ||
    window === undefined
  ) {
    throw new MultifdError(
      'ERR_DECOMPRESS',
      "the channel's compressed data does not start with a zstd frame",
    );
  }
  if ((descriptor & ~CHECKSUM) !== 0) {
    throw new MultifdError(
      'ERR_DECOMPRESS',
      `the zstd frame's descriptor is 0x${descriptor.toString(16)}: a channel's frame has ` +
        'neither a content size nor a dictionary',
    );
  }
  if (window > MAX_WINDOW)
    throw new MultifdError('ERR_DECOMPRESS', 'the zstd frame asks for a window above 128 MiB');
}

/**
 * Refuses a payload that is not made of whole blocks from byte `from` on, or whose blocks say
 * themselves that they yield more than `expected` bytes.
 */
function demandFlushedBlocks(payload: Uint8Array, from: number, expected: number): void {
  let at = from;
  let yielded = 0;
  for (let blocks = 0; at < payload.length; blocks++) {
    if (blocks === MAX_BLOCKS) throw broken(at, `more than ${MAX_BLOCKS} blocks in one packet`);
    if (payload.length - at < BLOCK_HEADER_LENGTH) throw broken(at, 'a block header is cut short');
    const header = payload[at]! | (payload[at + 1]! << 8) | (payload[at + 2]! << 16);
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if ((header & 1) !== 0)
      throw broken(at, 'the frame ends, but it has to go on for the whole migration');
    if (type > Block.COMPRESSED) throw broken(at, 'a block has an unknown type');
    if (size > MAX_BLOCK_BYTES) throw broken(at, `a block of ${size} bytes`);
    if (type !== Block.COMPRESSED) yielded += size;
    if (yielded > expected) throw tooMuch(expected);
    at += BLOCK_HEADER_LENGTH + (type === Block.REPEATED ? 1 : size);
  }
  if (at > payload.length) throw broken(at, 'the last block is cut short');
}

function broken(at: number, why: string): MultifdError {
  return new MultifdError(
    'ERR_DECOMPRESS',
    `the zstd data is broken at byte ${at} of the payload: ${why}`,
  );
}
