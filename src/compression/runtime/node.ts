import { MultifdError } from '../../util/errors.ts';
import type { CodecLevels, Compression, Decoder, Encoder } from '../codec.ts';
import {
  nativeZstd,
  nativeZstdDecoder,
  nativeZstdEncoder,
  zlibDecoder,
  zlibEncoder,
} from '../node-stream.ts';
import { strictZstdDecoder } from '../zstd-frame.ts';

/**
 * @param ownThread whether the channel has a thread of its own.
 * @returns undefined for no compression.
 * @throws MultifdError ERR_CODEC when this runtime can't encode it.
 */
export async function createEncoder(
  compression: Compression,
  { zlibLevel, zstdLevel }: CodecLevels,
  ownThread: boolean,
): Promise<Encoder | undefined> {
  if (compression === 'none') return undefined;
  if (compression === 'zlib') return zlibEncoder(zlibLevel, ownThread);
  const zstd = nativeZstd();
  if (zstd !== undefined) return nativeZstdEncoder(zstd, zstdLevel, ownThread);
  if (!ownThread)
    throw new MultifdError(
      'ERR_CODEC',
      'zstd encoding in the main thread needs Node 22.15 or newer: use a newer Node, or zlib',
    );
  return (await import('../wasm-zstd.ts')).wasmZstdEncoder(zstdLevel);
}

/**
 * As {@link createEncoder}, for what comes in; every runtime can decode everything, in any thread.
 */
export async function createDecoder(
  compression: Compression,
  ownThread: boolean,
): Promise<Decoder | undefined> {
  if (compression === 'none') return undefined;
  if (compression === 'zlib') return zlibDecoder(ownThread);
  const zstd = nativeZstd();
  return strictZstdDecoder(
    zstd === undefined
      ? (await import('../script-zstd.ts')).scriptZstdDecoder()
      : nativeZstdDecoder(zstd, ownThread),
  );
}
