/** Neighbouring pages of a block. */
export interface PageRun {
  readonly block: number;
  /** The first page's number in its block. */
  readonly first: number;
  readonly pages: number;
}

/** The pages that nobody has taken yet to be sent: one bit each. */
export class PagesLeft {
  readonly #blocks: readonly { readonly words: Uint32Array; readonly pages: number }[];
  #count = 0;
  /** Where the next run that nobody has asked for is looked for. */
  #cursor = { block: 0, page: 0 };

  /**
   * @param lengths pages of each block.
   * @param sent by block, what the target has already: one bit a page.
   */
  constructor(lengths: readonly number[], sent: readonly (Uint8Array | undefined)[] = []) {
    this.#blocks = lengths.map((pages, block) => {
      const words = new Uint32Array(Math.ceil(pages / 32)).fill(-1);
      if (pages % 32 !== 0) words[words.length - 1] = (1 << (pages % 32)) - 1;
      const there = sent[block];
      if (there !== undefined)
        for (let at = 0; at < words.length * 4; at++)
          words[at >> 2]! &= ~((there[at] ?? 0) << (8 * (at & 3)));
      for (const word of words) this.#count += bits(word);
      return { words, pages };
    });
  }

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** Those that come next are the ones from there on. */
  seek(block: number, page: number): void {
    this.#cursor = { block, page };
  }

  /** Takes up to `most` of those that come next; undefined when there are none. */
  next(most: number): PageRun | undefined {
    if (this.#count === 0) return undefined;
    for (;;) {
      const { block, page } = this.#cursor;
      const run = this.takeIn(block, page, this.#blocks[block]!.pages, most);
      if (run !== undefined) {
        this.#cursor = { block, page: run.first + run.pages };
        return run;
      }
      // Behind what was asked for last there may be some before it.
      this.#cursor = { block: (block + 1) % this.#blocks.length, page: 0 };
    }
  }

  /** Takes the first run, of at most `most` pages, between two pages of a block. */
  takeIn(block: number, from: number, to: number, most: number): PageRun | undefined {
    const { words, pages } = this.#blocks[block]!;
    const end = Math.min(to, pages);
    let first = from;
    while (first < end) {
      const rest = words[first >> 5]! >>> (first & 31);
      if (rest !== 0) {
        first += trailingZeros(rest);
        break;
      }
      first = (first | 31) + 1;
    }
    if (first >= end) return undefined;
    let page = first;
    const stop = Math.min(end, first + most);
    for (; page < stop; page++) {
      const bit = 1 << (page & 31);
      if ((words[page >> 5]! & bit) === 0) break;
      words[page >> 5]! &= ~bit;
    }
    this.#count -= page - first;
    return { block, first, pages: page - first };
  }
}

function bits(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}

function trailingZeros(word: number): number {
  return 31 - Math.clz32(word & -word);
}
