import { Zstd } from '@hpcc-js/wasm-zstd';
import type { Encoder } from '../codec.ts';

/**
 * zstd encoding for runtimes without a native one. The WASM build of libzstd holds one stream per
 * realm, so it serves channels that have a thread of their own.
 */
export async function wasmZstdEncoder(level: number): Promise<Encoder> {
  const zstd = await Zstd.load();
  zstd.reset();
  zstd.setCompressionLevel(level);
  return {
    // Pages lie in shared memory, which the library's copy into its own memory does not expect: it
    // gets a plain array.
    encode: async (pages) => [zstd.compressChunk(pages.slice())],
    close: () => void Zstd.unload(),
  };
}
