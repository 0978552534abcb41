import { compileCore, instantiateCore, type CoreExports, type CoreKind } from 'multifd/core';

export const KINDS: readonly CoreKind[] = ['shared', 'plain'];

const modules = Object.fromEntries(await Promise.all(KINDS.map(async (kind) => [kind, await compileCore(kind)])));

export interface Bench {
  core: CoreExports;
  memory: WebAssembly.Memory;
  bytes: Uint8Array;
  view: DataView;
}

/** A core of its own over a new zeroed memory of `wasmPages` times 64 KiB. */
export async function bench(kind: CoreKind, wasmPages = 4): Promise<Bench> {
  const shape = { initial: wasmPages, maximum: wasmPages };
  const memory = new WebAssembly.Memory(kind === 'shared' ? { ...shape, shared: true } : shape);
  const core = await instantiateCore(memory, modules[kind]);
  return { core, memory, bytes: new Uint8Array(memory.buffer), view: new DataView(memory.buffer) };
}

/** Set CORE_TEST_SEED to run again what failed: the seed is in the test's name. */
export const seed = Number(process.env['CORE_TEST_SEED'] ?? Date.now() % 2 ** 32) >>> 0;

/** Mulberry32: small, seeded, the same everywhere. */
export class Random {
  #state: number;

  constructor(start: number) {
    this.#state = start;
  }

  /** 32 random bits, unsigned. */
  word(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** A whole number from 0 to below `end`. */
  below(end: number): number {
    return Math.floor((this.word() / 2 ** 32) * end);
  }

  chance(probability: number): boolean {
    return this.word() / 2 ** 32 < probability;
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)];
    if (picked === undefined) throw new RangeError('nothing to pick from');
    return picked;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.word();
  }
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));
}
