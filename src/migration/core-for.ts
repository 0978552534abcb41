import { compileCore, type CoreModules } from '../core/index.ts';
import { canShare } from '../engine/group.ts';

/** The core over a migration's arena, which is shared memory unless its channels run in this thread for want of any. */
export async function coreFor(modules: CoreModules, inline: boolean): Promise<WebAssembly.Module> {
  const kind = canShare(inline) ? 'shared' : 'plain';
  return modules[kind] ?? compileCore(kind);
}
