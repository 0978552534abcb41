import type { Decoder } from '../codec.ts';
import { scriptZstdDecoder } from './script-zstd.ts';
import { strictZstdDecoder } from './zstd-frame.ts';

/**
 * zstd decoding for runtimes without a native one: in WebAssembly for a channel that has a thread
 * of its own, where that can be; else in JavaScript, at a quarter of the speed.
 */
export async function portableZstdDecoder(ownThread: boolean): Promise<Decoder> {
  return strictZstdDecoder((ownThread ? await wasmDecoder() : undefined) ?? scriptZstdDecoder());
}

/**
 * @returns undefined where it can't be loaded: the library fetches its module from a `data:` URL,
 *   which a page's content security policy may forbid, and a bundle may be without the package.
 */
async function wasmDecoder(): Promise<Decoder | undefined> {
  try {
    return await (await import('./wasm-zstd-decoder.ts')).wasmZstdDecoder();
  } catch {
    return undefined;
  }
}
