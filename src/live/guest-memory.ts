import { canPost, isSharedBuffer, type Span, spanOf, viewOf } from '../util/bytes.ts';
import { bytesOfView } from '../util/checks.ts';
import {
  compileCore,
  type CoreExports,
  coreKind,
  type CoreModules,
  instantiateCoreSync,
} from '../core/index.ts';

/**
 * What a block of a guest can be. WebAssembly memories may grow while they are scanned; a view of
 * any type is one of bytes.
 */
export type LiveMemory = WebAssembly.Memory | SharedArrayBuffer | ArrayBuffer | ArrayBufferView;

/** A block's memory on its way to another thread. */
export type PostedMemory = { memory: WebAssembly.Memory } | { span: Span };

export function posted(memory: LiveMemory): PostedMemory {
  return memory instanceof WebAssembly.Memory ? { memory } : { span: spanOf(memory) };
}

/** In the other thread. */
export function unposted(memory: PostedMemory): LiveMemory {
  return 'memory' in memory ? memory.memory : viewOf(memory.span);
}

/** Whether another thread can scan it. */
export function reachesThreads(memory: LiveMemory): boolean {
  if (memory instanceof WebAssembly.Memory) return isSharedBuffer(memory.buffer);
  if (!ArrayBuffer.isView(memory)) return canPost(memory);
  // A view that follows its buffer's growth would not do so where it is posted to.
  return canPost(memory.buffer) && !memory.buffer.growable;
}

/**
 * A compiled core of each kind that a guest's memories need.
 * @param given those that there are already.
 */
export async function compileCores(
  memories: readonly LiveMemory[],
  given: CoreModules,
): Promise<CoreModules> {
  const modules: CoreModules = { ...given };
  for (const memory of memories) {
    if (memory instanceof WebAssembly.Memory)
      modules[coreKind(memory)] ??= await compileCore(coreKind(memory));
  }
  return modules;
}

export function isShared(memory: LiveMemory): boolean {
  const buffer =
    memory instanceof WebAssembly.Memory || ArrayBuffer.isView(memory) ? memory.buffer : memory;
  return isSharedBuffer(buffer);
}

/** A block's memory as it is now, in one thread. */
export class GuestMemory {
  readonly shared: boolean;
  /**
   * The core over the guest's own memory, where that is a WebAssembly one: it scans pages where
   * they are.
   */
  readonly core: CoreExports | undefined;
  readonly #memory: LiveMemory;
  #bytes: Uint8Array;

  constructor(memory: LiveMemory, modules: CoreModules) {
    this.#memory = memory;
    this.shared = isShared(memory);
    this.#bytes = bytesOf(memory);
    this.core =
      memory instanceof WebAssembly.Memory
        ? instantiateCoreSync(memory, modules[coreKind(memory)]!)
        : undefined;
  }

  /** All of it; a new view once the memory has grown. */
  get bytes(): Uint8Array {
    const memory = this.#memory;
    if (memory instanceof WebAssembly.Memory && memory.buffer !== this.#bytes.buffer)
      this.#bytes = bytesOf(memory);
    return this.#bytes;
  }

  /**
   * Takes note of growth in other threads, which a thread's own view of a memory may not have yet.
   */
  refresh(): void {
    if (this.shared && this.#memory instanceof WebAssembly.Memory) this.#memory.grow(0);
  }
}

function bytesOf(memory: LiveMemory): Uint8Array {
  if (ArrayBuffer.isView(memory)) return bytesOfView(memory);
  return new Uint8Array(memory instanceof WebAssembly.Memory ? memory.buffer : memory);
}
