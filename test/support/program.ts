import type { DirtyBitmap } from 'multifd';
import type { Random } from './random.ts';

const PAGE = 4096;

/**
 * A program of the tests, that lives in a memory and nowhere else: it goes through all pages, over
 * and over, and counts each pass up in each page, at a place that differs from page to page. Beside
 * that it writes at random places, and makes pages zero again.
 *
 * ```
 * page 0   0  u32  the page that comes next
 *          4  u32  the pass that it is in, from 1 on
 * page p   8 * (p & 255)  u32  the last pass that came by: the pass up to the next page, the one before from there on
 *          2048..4096     random
 * ```
 *
 * So a page that is missing, old, or of another moment is seen, whoever looks and wherever.
 */
export class Program {
  readonly memory: WebAssembly.Memory;
  readonly #random: Random;
  readonly #stepsPerTurn: number;
  #dirty: Uint8Array | undefined;
  #running = false;
  #turn: NodeJS.Immediate | undefined;

  /** @param memory with the program in it, or all zero: then it begins. */
  constructor(memory: WebAssembly.Memory, random: Random, stepsPerTurn = 20) {
    this.memory = memory;
    this.#random = random;
    this.#stepsPerTurn = stepsPerTurn;
  }

  readonly start = (): void => {
    if (this.#running) throw new Error('the program was started twice');
    this.#running = true;
    const turn = (): void => {
      if (!this.#running) return;
      this.step(this.#stepsPerTurn);
      this.#turn = setImmediate(turn);
    };
    turn();
  };

  readonly stop = (): void => {
    if (!this.#running) throw new Error('the program was stopped twice');
    this.#running = false;
    clearImmediate(this.#turn);
  };

  get running(): boolean {
    return this.#running;
  }

  /** Goes `count` pages further. */
  step(count: number): void {
    const words = new DataView(this.memory.buffer);
    const pages = words.byteLength / PAGE;
    for (let i = 0; i < count; i++) {
      const page = words.getUint32(0, true);
      const pass = Math.max(1, words.getUint32(4, true));
      this.#write(words, page * PAGE + place(page), pass);
      const last = page + 1 >= pages;
      this.#write(words, 0, last ? 1 : page + 1);
      this.#write(words, 4, last ? pass + 1 : pass);
      if (this.#random.chance(0.5))
        this.#write(
          words,
          this.#random.below(pages) * PAGE + 2048 + 4 * this.#random.below(512),
          this.#random.word(),
        );
      if (this.#random.chance(0.1)) {
        const zeroed = this.#random.below(pages) * PAGE;
        new Uint8Array(this.memory.buffer, zeroed + 2048, 2048).fill(0);
        this.#mark(zeroed);
      }
    }
  }

  /** Which pages it has written to. */
  readonly log: DirtyBitmap = {
    take: () => {
      const taken = this.#dirty;
      this.#dirty = undefined;
      return taken;
    },
  };

  #write(words: DataView, at: number, value: number): void {
    words.setUint32(at, value, true);
    this.#mark(at);
  }

  #mark(at: number): void {
    const page = Math.floor(at / PAGE);
    const bytes = Math.ceil(this.memory.buffer.byteLength / PAGE / 8);
    if (this.#dirty === undefined || this.#dirty.length < bytes) {
      const longer = new Uint8Array(bytes);
      longer.set(this.#dirty ?? []);
      this.#dirty = longer;
    }
    this.#dirty[page >> 3]! |= 1 << (page & 7);
  }
}

/** Where page `page` has its count. Page 0 has none. */
function place(page: number): number {
  return page === 0 ? 8 : 8 * (page & 255);
}

/** What is wrong with a program that was stopped; undefined if nothing is. */
export function programProblem(memory: WebAssembly.Memory): string | undefined {
  const words = new DataView(memory.buffer);
  const next = words.getUint32(0, true);
  const pass = words.getUint32(4, true);
  for (let page = 1; page < words.byteLength / PAGE; page++) {
    const count = words.getUint32(page * PAGE + place(page), true);
    const expected = page < next ? pass : pass - 1;
    if (count !== expected)
      return (
        `page ${page} has been passed ${count} times, not ${expected}: the program is at page ` +
        `${next} of pass ${pass}`
      );
  }
  return pass > 0 ? undefined : 'the program has not begun';
}
