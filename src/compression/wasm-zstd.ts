import { Zstd } from '@hpcc-js/wasm-zstd';
import { Decompress } from 'fzstd';
import { MultifdError } from '../errors.ts';
import type { Decoder, Encoder } from './codec.ts';

/**
 * zstd for runtimes without a native one. The WASM build of libzstd holds one stream per realm, so it serves channels that have a thread of
 * their own; channels that share a thread can only decode, by a decoder in plain JavaScript.
 */

/** Payloads and pages lie in shared memory, which the libraries' copies into their own memory do not expect: they get plain arrays. */
const unshared = (bytes: Uint8Array): Uint8Array => bytes.slice();

export async function wasmZstdEncoder(level: number): Promise<Encoder> {
  const zstd = await Zstd.load();
  zstd.reset();
  zstd.setCompressionLevel(level);
  return {
    encode: async (pages) => [zstd.compressChunk(unshared(pages))],
    close: () => void Zstd.unload(),
  };
}

export async function wasmZstdDecoder(): Promise<Decoder> {
  const zstd = await Zstd.load();
  zstd.reset();
  return {
    async decode(payload, into) {
      let pages: Uint8Array;
      try {
        // One byte more than there may be, so that too much is noticed.
        pages = zstd.decompressChunk(unshared(payload), into.length + 1);
      } catch (cause) {
        throw new MultifdError('ERR_DECOMPRESS', `the compressed data is broken: ${String(cause)}`, { cause });
      }
      demandLength(pages.length, into.length);
      into.set(pages);
    },
    close: () => void Zstd.unload(),
  };
}

/** zstd's magic number, as its bytes come. */
const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const SINGLE_SEGMENT = 0x20;
/** 10 + 17: windows of up to 128 MiB, libzstd's own limit for streams. */
const MAX_WINDOW_EXPONENT = 17;

export function scriptZstdDecoder(): Decoder {
  let take: (piece: Uint8Array) => void = () => {};
  let first = true;
  const stream = new Decompress((piece) => take(piece));
  return {
    async decode(payload, into) {
      if (first) demandModestWindow(payload);
      first = false;
      let filled = 0;
      take = (piece) => {
        filled += piece.length;
        demandLength(Math.max(filled, into.length), into.length);
        into.set(piece, filled - piece.length);
      };
      try {
        stream.push(unshared(payload));
      } catch (cause) {
        throw cause instanceof MultifdError ? cause : new MultifdError('ERR_DECOMPRESS', `the compressed data is broken: ${String(cause)}`, { cause });
      }
      demandLength(filled, into.length);
    },
    close: () => {},
  };
}

/** The decoder allocates the window that the frame header asks for, before it has seen any data. */
function demandModestWindow(payload: Uint8Array): void {
  const isFrame = MAGIC.every((byte, at) => payload[at] === byte);
  const descriptor = payload[4];
  const window = payload[5];
  if (!isFrame || descriptor === undefined || window === undefined) throw new MultifdError('ERR_DECOMPRESS', 'the channel\'s compressed data does not start with a zstd frame');
  // A stream flushed per packet can't know its content's size: it never is a single segment.
  if ((descriptor & SINGLE_SEGMENT) !== 0 || window >> 3 > MAX_WINDOW_EXPONENT) throw new MultifdError('ERR_DECOMPRESS', 'the zstd frame asks for a window above 128 MiB');
}

function demandLength(yielded: number, expected: number): void {
  if (yielded > expected) throw new MultifdError('ERR_DECOMPRESS', `the compressed data yields more than the ${expected} bytes its pages have`);
  if (yielded < expected) throw new MultifdError('ERR_DECOMPRESS', `the compressed data yields ${yielded} bytes, but its pages have ${expected}`);
}
