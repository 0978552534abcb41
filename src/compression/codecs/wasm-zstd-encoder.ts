import { Zstd } from '@hpcc-js/wasm-zstd';
import type { Encoder } from '../codec.ts';

/**
 * zstd encoding for runtimes without a native one. The WASM build of libzstd holds one stream per
 * realm, so it serves channels that have a thread of their own.
 */
export async function wasmZstdEncoder(level: number): Promise<Encoder> {
  const zstd = await Zstd.load();
  copyResultsAtOnce(zstd);
  zstd.reset();
  zstd.setCompressionLevel(level);
  return {
    // Pages lie in shared memory, which the library's copy into its own memory does not expect: it
    // gets a plain array.
    encode: async (pages) => [zstd.compressChunk(pages.slice())],
    close: () => void Zstd.unload(),
  };
}

/** A place in the library's memory. */
interface Place {
  ptr: number;
  size: number;
}

/** What is used of the library's inside. */
interface Insides {
  heapView(place: Place): Uint8Array;
  heapToUint8Array(place: Place): Uint8Array;
}

/**
 * The library's way to copy a result out of its memory goes through an array of numbers, which
 * takes five times as long as the compression. It is replaced where it is found; it documents
 * nothing of this.
 */
function copyResultsAtOnce(zstd: Zstd): void {
  const { _mainModule: module } = zstd as unknown as { _mainModule?: Partial<Insides> };
  if (typeof module?.heapView !== 'function' || typeof module.heapToUint8Array !== 'function')
    return;
  const { heapView } = module;
  module.heapToUint8Array = (place) => heapView.call(module, place).slice();
}
