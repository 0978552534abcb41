import shared from '../../../build/core.shared.wasm';
import type * as node from './node.ts';
import type { CoreKind } from '../load.ts';

/** workerd compiles no bytes while it handles a request: what it imports is compiled already. */
const modules: Record<CoreKind, () => Promise<unknown>> = {
  shared: async () => shared,
  // Channels have shared memory here; this one is for memories of the caller's own.
  plain: async () => (await import('../../../build/core.plain.wasm')).default,
};

export const coreModule: typeof node.coreModule = async (kind) =>
  (await modules[kind]()) as WebAssembly.Module;

/**
 * Modules come compiled here, and of what the loader makes of an instance only its exports are
 * used.
 */
const instantiateNow = (module: WebAssembly.Module, imports: WebAssembly.Imports) => ({
  instance: new WebAssembly.Instance(module, imports),
});

export const instantiateSync = instantiateNow as unknown as typeof node.instantiateSync;
export const instantiate = (async (module: WebAssembly.Module, imports: WebAssembly.Imports) =>
  instantiateNow(module, imports)) as unknown as typeof node.instantiate;
