import { randomFillSync } from 'node:crypto';
import type { DirtyBitmap } from 'multifd';
import { Writer } from '../../examples/sqlite/writer.ts';

const PAGE = 4096;
/**
 * What a turn reads: some 20 microseconds of work that has nothing to do with how many pages are
 * written to.
 */
const WORK_BYTES = 2 ** 18;

/**
 * A memory full of random bytes, and a program that writes to pages of it at a steady rate, and
 * works as fast as it can.
 */
export class Synthetic implements DirtyBitmap {
  readonly memory: WebAssembly.Memory;
  readonly writer: Writer;
  readonly #words: Float64Array;
  readonly #rate: number;
  #log: Uint8Array;
  #due = 0;
  #last = performance.now();

  /** @param rate pages per second. */
  constructor(mib: number, rate: number) {
    this.memory = new WebAssembly.Memory({ initial: mib * 16 });
    for (let at = 0; at < mib; at++)
      randomFillSync(new Uint8Array(this.memory.buffer, at * 2 ** 20, 2 ** 20));
    this.#words = new Float64Array(this.memory.buffer);
    this.#log = new Uint8Array(this.memory.buffer.byteLength / PAGE / 8);
    this.#rate = rate;
    this.writer = new Writer(() => this.#turn(), 0);
  }

  take(): Uint8Array {
    const log = this.#log;
    this.#log = new Uint8Array(log.length);
    return log;
  }

  #turn(): void {
    const now = performance.now();
    // What it was kept from doing it does not do later: the rate is steady.
    this.#due = Math.min(this.#due + ((now - this.#last) / 1000) * this.#rate, this.#rate / 100);
    this.#last = now;
    const pages = this.#words.length / (PAGE / 8);
    for (; this.#due >= 1; this.#due--) {
      const page = Math.floor(Math.random() * pages);
      this.#words[page * (PAGE / 8) + Math.floor(Math.random() * (PAGE / 8))] = now;
      this.#log[page >> 3]! |= 1 << (page & 7);
    }
    let sum = 0;
    for (let i = 0; i < WORK_BYTES / 8; i++) sum += this.#words[i]!;
    if (sum === 1) this.#words[0] = sum; // so that it is not left out
  }
}
