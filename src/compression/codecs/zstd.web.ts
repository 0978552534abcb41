import { MultifdError } from '../../util/errors.ts';
import { offered } from './aside.ts';
import type { Codec } from '../codec.ts';
import { scriptZstdDecoder } from './script-zstd.ts';
import { wasmZstdEncoder } from './wasm-zstd.ts';
import { strictZstdDecoder } from './zstd-frame.ts';

/**
 * zstd for runtimes without a native one: libzstd in WebAssembly encodes, JavaScript decodes.
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
  decoder: () => strictZstdDecoder(scriptZstdDecoder()),
});
