import { instantiate, instantiateSync } from '#wasm';
import { coreModule } from '#wasm';
import { isSharedBuffer } from '../util/bytes.ts';
import { refuse } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import type { CoreExports } from './exports.ts';

/**
 * `shared` works on shared memories and is safe side by side in several threads; `plain` works on
 * unshared ones.
 */
export type CoreKind = 'shared' | 'plain';

/** Which build of the core a memory needs. */
export function coreKind(memory: WebAssembly.Memory): CoreKind {
  if (!(memory instanceof WebAssembly.Memory)) refuse('memory', memory, 'a WebAssembly.Memory');
  return isSharedBuffer(memory.buffer) ? 'shared' : 'plain';
}

/**
 * Compiled cores: for a caller that may not compile bytes (a strict content policy), or has the
 * modules already. Structured-cloneable.
 */
export type CoreModules = Partial<Record<CoreKind, WebAssembly.Module>>;

/**
 * One of the two builds, compiled when it is first asked for. The module can be posted to workers
 * and instantiated any number of times.
 * @throws MultifdError ERR_OPTION; ERR_UNSUPPORTED where WebAssembly may not be compiled.
 */
export async function compileCore(kind: CoreKind): Promise<WebAssembly.Module> {
  if (kind !== 'shared' && kind !== 'plain') refuse('kind of core', kind, 'shared or plain');
  try {
    return await coreModule(kind);
  } catch (cause) {
    throw new MultifdError(
      'ERR_UNSUPPORTED',
      `WebAssembly can't be compiled here (${MultifdError.from(cause).message}): a page's ` +
        `Content-Security-Policy has to allow 'wasm-unsafe-eval' in script-src; or give ` +
        'modules that are compiled already',
      { cause },
    );
  }
}

/**
 * Instantiates the core over a memory of any size; nothing is written to it.
 *
 * @param module the build that fits the memory, to share one or where bytes can't be compiled;
 *   default: compiled here
 * @throws MultifdError `ERR_OPTION` when the module is not the build that the memory needs
 */
export async function instantiateCore(
  memory: WebAssembly.Memory,
  module?: WebAssembly.Module,
): Promise<CoreExports> {
  const kind = coreKind(memory);
  const core = module === undefined ? await compileCore(kind) : givenModule(module);
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
export function instantiateCoreSync(
  memory: WebAssembly.Memory,
  module: WebAssembly.Module,
): CoreExports {
  coreKind(memory);
  givenModule(module);
  try {
    return exportsOf(instantiateSync(module, { env: { memory } }));
  } catch (cause) {
    throw linkError(memory, cause);
  }
}

function givenModule(module: WebAssembly.Module): WebAssembly.Module {
  return module instanceof WebAssembly.Module
    ? module
    : refuse('module', module, 'a WebAssembly.Module, as compileCore() gives it');
}

/**
 * What no memory can grow by is refused as too much where addresses are 64-bit, and elsewhere as no
 * number.
 */
function hasLongAddresses(memory: WebAssembly.Memory): boolean {
  try {
    memory.grow((2n ** 63n) as unknown as number);
  } catch (error) {
    return error instanceof RangeError;
  }
  return false;
}

/** The instance's own exports: the loader's wrapped ones are slower in hot loops. */
function exportsOf({ instance }: { instance: WebAssembly.Instance }): CoreExports {
  // WebAssembly's exports have no static type; this line is where they get it.
  return instance.exports as unknown as CoreExports;
}

function linkError(memory: WebAssembly.Memory, cause: unknown): MultifdError {
  if (hasLongAddresses(memory))
    return new MultifdError(
      'ERR_UNSUPPORTED',
      'this memory has 64-bit addresses (address: i64), and the core 32-bit ones: give a ' +
        'view of its buffer instead',
      { cause },
    );
  const kind = coreKind(memory);
  return new MultifdError(
    'ERR_OPTION',
    `the module does not link with this memory: pass one from compileCore('${kind}'), or none`,
    { cause },
  );
}
