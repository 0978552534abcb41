import { Random } from '../../support/random.ts';

const WASM_PAGE = 65536;
const PAGE = 4096;

/** Memory that one thread can see, or several. */
export type Kind = 'unshared' | 'shared';

/** @param pages of 64 KiB. */
export function newMemory(kind: Kind, pages: number, maximum = pages): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: pages, maximum, shared: kind === 'shared' });
}

export function bytesOf(memory: WebAssembly.Memory): Uint8Array {
  return new Uint8Array(memory.buffer);
}

/** Makes every third page zero, and gives the others numbers. @returns how many are zero. */
export function fill(memory: WebAssembly.Memory, seed: number): number {
  const random = new Random(seed);
  const words = new Uint32Array(memory.buffer);
  const perPage = PAGE / 4;
  let zeros = 0;
  for (let page = 0; page < words.length / perPage; page++) {
    const isZero = page % 3 === 1;
    if (isZero) zeros++;
    for (let at = page * perPage; at < (page + 1) * perPage; at++)
      words[at] = isZero ? 0 : random.word();
  }
  return zeros;
}

/** Memory of 4 MiB with content, and memory for it that has something else in it. */
export function pairOf(
  kind: Kind,
  seed = 1,
): { source: WebAssembly.Memory; target: WebAssembly.Memory; pages: number; zeros: number } {
  const source = newMemory(kind, 64);
  const target = newMemory(kind, 64);
  const zeros = fill(source, seed);
  bytesOf(target).fill(0xee);
  return { source, target, pages: (64 * WASM_PAGE) / PAGE, zeros };
}
