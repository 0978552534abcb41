import plain from '../../../build/core.plain.wasm';
import shared from '../../../build/core.shared.wasm';
import type * as node from '../node/core-modules.ts';

/** workerd compiles no bytes while it handles a request: what it imports is compiled already. */
const modules = { shared, plain } as unknown as Record<'shared' | 'plain', WebAssembly.Module>;

export const coreModule: typeof node.coreModule = async (kind) => modules[kind];
