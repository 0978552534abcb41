import plainBytes from '../../../build/core.plain.wasm';
import sharedBytes from '../../../build/core.shared.wasm';
import type { CoreKind } from '../load.ts';

const bytes = { shared: sharedBytes, plain: plainBytes };
/** Compiled when first asked for, once. */
const compiled: Partial<Record<CoreKind, Promise<WebAssembly.Module>>> = {};

export function coreModule(kind: CoreKind): Promise<WebAssembly.Module> {
  return (compiled[kind] ??= compile(kind));
}

/** One that failed is tried again when it is asked for again. */
async function compile(kind: CoreKind): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes[kind]);
  } catch (error) {
    delete compiled[kind];
    throw error;
  }
}

export { instantiate, instantiateSync } from '@assemblyscript/loader';
