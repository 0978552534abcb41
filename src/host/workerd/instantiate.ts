import type * as node from '../node/instantiate.ts';

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
