import { MultifdError } from '../../util/errors.ts';
import { offered } from './aside.ts';
import type { Codec } from '../codec.ts';
import { portableZstdDecoder } from './portable-zstd.ts';
import { wasmZstdEncoder } from './wasm-zstd-encoder.ts';

/**
 * zstd for runtimes without a native one: libzstd in WebAssembly encodes, and decodes in threads.
 * Encoding needs a thread of the channel's own, since the library holds one stream per realm.
 */
export const codec: Codec = offered('zstd', {
  encoder({ zstdLevel }, ownThread) {
    if (ownThread) return wasmZstdEncoder(zstdLevel);
    throw new MultifdError(
      'ERR_CODEC',
      'zstd can be encoded in workers only here: let the channels be workers, or use zlib',
    );
  },
  decoder: portableZstdDecoder,
});
