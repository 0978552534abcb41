import { MultifdError } from '../../util/errors.ts';
import type { Codec } from '../codec.ts';
import { nativeZstd, nativeZstdDecoder, nativeZstdEncoder } from './node-stream.ts';
import { strictZstdDecoder } from './zstd-frame.ts';

/** zstd by node:zlib where it has it, else as runtimes without it do. */
export const codec: Codec = {
  async encoder({ zstdLevel }, ownThread) {
    const zstd = nativeZstd();
    if (zstd !== undefined) return nativeZstdEncoder(zstd, zstdLevel, ownThread);
    if (ownThread) return (await import('./wasm-zstd-encoder.ts')).wasmZstdEncoder(zstdLevel);
    throw new MultifdError(
      'ERR_CODEC',
      'zstd encoding in the main thread needs Node 22.15 or newer: use a newer Node, or zlib',
    );
  },
  async decoder(ownThread) {
    const zstd = nativeZstd();
    if (zstd !== undefined) return strictZstdDecoder(nativeZstdDecoder(zstd, ownThread));
    return (await import('./portable-zstd.ts')).portableZstdDecoder(ownThread);
  },
};
