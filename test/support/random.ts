/**
 * Of all tests at random. Set MULTIFD_SEED to run again what failed: the seed is in the test's name.
 */
export const SEED = Number(globalThis.process?.env['MULTIFD_SEED'] ?? Date.now() % 2 ** 32) >>> 0;

/** Mulberry32: small, the same everywhere. */
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

  /** From 0 to below 1. */
  fraction(): number {
    return this.word() / 2 ** 32;
  }

  /** A whole number from 0 to below `end`. */
  below(end: number): number {
    return Math.floor(this.fraction() * end);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)];
    if (picked === undefined) throw new RangeError('nothing to pick from');
    return picked;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.word();
  }

  bytes(length: number): Uint8Array {
    const words = new Uint32Array(Math.ceil(length / 4));
    for (let i = 0; i < words.length; i++) words[i] = this.word();
    return new Uint8Array(words.buffer, 0, length);
  }
}

/** Bytes that no compression makes smaller, the same for the same name. */
export function randomBytes(name: string, length: number): Uint8Array {
  let seed = 0x811c9dc5;
  for (const character of name) seed = Math.imul(seed ^ character.charCodeAt(0), 0x01000193);
  return new Random(seed).bytes(length);
}
