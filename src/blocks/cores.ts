import { compileCore, coreKind, type CoreModules } from '../core/index.ts';
import { canShare } from '../engine/group.ts';
import type { BlockTargetSpec } from './page-targets.ts';

/**
 * The core over a migration's arena, which is shared memory unless its channels run in this thread
 * for want of any.
 */
export async function coreFor(modules: CoreModules, inline: boolean): Promise<WebAssembly.Module> {
  const kind = canShare(inline) ? 'shared' : 'plain';
  return modules[kind] ?? compileCore(kind);
}

/**
 * The builds that detect zero pages in memories that are targets, as far as there are any.
 * @param given those that there are already.
 */
export async function targetCores(
  targets: readonly BlockTargetSpec[],
  given: CoreModules,
): Promise<CoreModules> {
  const modules: CoreModules = {};
  for (const target of targets) {
    if (target.kind !== 'memory') continue;
    const kind = coreKind(target.memory);
    // Where bytes can't be compiled, and there is no module, it is done without one.
    const module = modules[kind] ?? given[kind] ?? (await compileCore(kind).catch(() => undefined));
    if (module !== undefined) modules[kind] = module;
  }
  return modules;
}
