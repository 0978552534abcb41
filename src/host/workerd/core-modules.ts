import shared from '../../../build/core.shared.wasm';
import type { CoreKind } from '../../core/load.ts';
import type * as node from '../node/core-modules.ts';

/** workerd compiles no bytes while it handles a request: what it imports is compiled already. */
const modules: Record<CoreKind, () => Promise<unknown>> = {
  shared: async () => shared,
  // Channels have shared memory here; this one is for memories of the caller's own.
  plain: async () => (await import('../../../build/core.plain.wasm')).default,
};

export const coreModule: typeof node.coreModule = async (kind) =>
  (await modules[kind]()) as WebAssembly.Module;
