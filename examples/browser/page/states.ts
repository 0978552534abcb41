/**
 * What is known of a page: one byte each. From {@link FIRST} on, `code - FIRST + 1` is the round in
 * which its content came last.
 */
export const NEVER = 0;
export const ZERO = 1;
export const FIRST = 2;
const LAST = 255;

const Word = { version: 0, round: 1, zero: 2, normal: 3, again: 4 } as const;
const WORDS = 8;
const HEADER_BYTES = WORDS * Int32Array.BYTES_PER_ELEMENT;

/**
 * The pages of one block: a byte for each, and counters. One thread writes, the one that receives;
 * any may read, where the buffer is shared.
 *
 *     i32 version, round, zero, normal, again, 3 unused | u8 code per page | u8 round per page
 *
 * The second list has the round in which a page came last, with content or without.
 */
export class PageStates {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  readonly codes: Uint8Array;
  readonly #words: Int32Array;
  readonly #rounds: Uint8Array;

  /** @param buffer of {@link PageStates.bytes} for as many pages, all zero at first. */
  constructor(buffer: ArrayBuffer | SharedArrayBuffer, pages: number) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, WORDS);
    this.codes = new Uint8Array(buffer, HEADER_BYTES, pages);
    this.#rounds = new Uint8Array(buffer, HEADER_BYTES + pages, pages);
  }

  static bytes(pages: number): number {
    return HEADER_BYTES + 2 * pages;
  }

  get pages(): number {
    return this.codes.length;
  }

  /** Changes whenever anything has. */
  get version(): number {
    return Atomics.load(this.#words, Word.version);
  }

  /** The round that the block's pages are in, from 1 on; 0 before the first. */
  get round(): number {
    return Atomics.load(this.#words, Word.round);
  }

  /** Pages that are zero now. */
  get zero(): number {
    return Atomics.load(this.#words, Word.zero);
  }

  /** Pages that have content now. */
  get normal(): number {
    return Atomics.load(this.#words, Word.normal);
  }

  /** How often a page came that had come before. */
  get again(): number {
    return Atomics.load(this.#words, Word.again);
  }

  /**
   * Pages came, from page `first` on.
   *
   * @param round the round by the statistics. They are some way behind, but no page comes twice
   *   in a round: one that came in this round already says that it is over.
   */
  mark(first: number, count: number, content: boolean, round: number): void {
    let current = Math.max(round, this.round, 1);
    let [zero, normal, again] = [0, 0, 0];
    for (let page = first; page < first + count; page++) {
      const before = this.codes[page]!;
      const came = this.#rounds[page]!;
      if (before !== NEVER) {
        again++;
        if (came >= current) current = Math.min(came + 1, LAST);
        if (before === ZERO) zero--;
        else normal--;
      }
      // What comes for the first time is no change, in whatever round: all of memory is sent once.
      this.codes[page] = content
        ? before === NEVER
          ? FIRST
          : Math.min(FIRST - 1 + current, LAST)
        : ZERO;
      this.#rounds[page] = Math.min(current, LAST);
      if (content) normal++;
      else zero++;
    }
    Atomics.store(this.#words, Word.round, current);
    Atomics.add(this.#words, Word.zero, zero);
    Atomics.add(this.#words, Word.normal, normal);
    Atomics.add(this.#words, Word.again, again);
    Atomics.add(this.#words, Word.version, 1);
  }
}

/** In words, for people. */
export function stateText(code: number): string {
  if (code === NEVER) return 'never sent';
  if (code === ZERO) return 'zero';
  return code === FIRST ? 'normal' : `sent again in round ${code - FIRST + 1}`;
}
