import { instantiate, instantiateSync } from '#host/instantiate';
import { coreModule } from '#host/core-modules';
import { isSharedBuffer } from '../bytes.ts';
import { MultifdError } from '../errors.ts';
import type { CoreExports } from './exports.ts';

/** `shared` works on shared memories and is safe side by side in several threads; `plain` works on unshared ones. */
export type CoreKind = 'shared' | 'plain';

/** Which build of the core a memory needs. */
export function coreKind(memory: WebAssembly.Memory): CoreKind {
  return isSharedBuffer(memory.buffer) ? 'shared' : 'plain';
}

/** Compiled cores: for whoever may not compile bytes (a strict content policy), or has them already. Structured-cloneable. */
export type CoreModules = Partial<Record<CoreKind, WebAssembly.Module>>;

/** One of the two builds, compiled when it is first asked for. The module can be posted to workers and instantiated any number of times. */
export function compileCore(kind: CoreKind): Promise<WebAssembly.Module> {
  return coreModule(kind);
}

/**
 * Instantiates the core over a memory of any size; nothing is written to it.
 *
 * @param module the build that fits the memory, to share one or where bytes can't be compiled; default: compiled here
 * @throws MultifdError `ERR_OPTION` when the module is not the build that the memory needs
 */
export async function instantiateCore(memory: WebAssembly.Memory, module?: WebAssembly.Module): Promise<CoreExports> {
  const core = module ?? (await compileCore(coreKind(memory)));
  try {
    return exportsOf(await instantiate(core, { env: { memory } }));
  } catch (cause) {
    throw linkError(memory, cause);
  }
}

/**
 * The same without waiting, for workers that were posted the module.
 *
 * @throws MultifdError `ERR_OPTION` when the module is not the build that the memory needs
 */
export function instantiateCoreSync(memory: WebAssembly.Memory, module: WebAssembly.Module): CoreExports {
  try {
    return exportsOf(instantiateSync(module, { env: { memory } }));
  } catch (cause) {
    throw linkError(memory, cause);
  }
}

/** The instance's own exports: the loader's wrapped ones are slower in hot loops. */
function exportsOf({ instance }: { instance: WebAssembly.Instance }): CoreExports {
  // WebAssembly's exports have no static type; this line is where they get it.
  return instance.exports as unknown as CoreExports;
}

function linkError(memory: WebAssembly.Memory, cause: unknown): MultifdError {
  const kind = coreKind(memory);
  return new MultifdError(
    'ERR_OPTION',
    `the module does not link with this memory: pass one from compileCore('${kind}'), or none`,
    { cause },
  );
}
