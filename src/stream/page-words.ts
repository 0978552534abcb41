import { MultifdError } from '../util/errors.ts';
import { RAM_WORD_ALIGNMENT, RamFlag } from './constants.ts';

const encoder = new TextEncoder();
const TWO_TO_32 = 0x1_0000_0000;
/** A word, and what follows the one of a zero page. */
const WORD_BYTES = 8;
const LONGEST_ID = 1 + 255;

/** Room for so many pages in words, with the id of their block. */
export function wordsLength(pages: number, pageSize: number): number {
  return pages * (WORD_BYTES + pageSize) + LONGEST_ID;
}

/**
 * Pages as words of the section "ram", written into memory of the caller's: PAGE with the page's
 * content, or ZERO; the block's id only where it is not that of the page before on the same
 * connection.
 */
export class PageWords {
  readonly #ids: readonly Uint8Array[];
  /** The block of the last page: the next one of it need not name it. */
  #last: number | undefined;

  /** @param ids of the blocks, each 1 to 255 bytes of UTF-8. */
  constructor(ids: readonly string[]) {
    this.#ids = ids.map((id) => encoder.encode(id));
  }

  /**
   * Writes a page's word at `at`; its content belongs behind it.
   * @param offset bytes in the block.
   * @returns where the content begins.
   */
  page(into: Uint8Array, at: number, block: number, offset: number): number {
    return this.#word(into, at, block, offset, RamFlag.PAGE);
  }

  /** Writes a zero page. @returns where it ends. */
  zero(into: Uint8Array, at: number, block: number, offset: number): number {
    const end = this.#word(into, at, block, offset, RamFlag.ZERO);
    into[end] = 0;
    return end + 1;
  }

  #word(into: Uint8Array, at: number, block: number, offset: number, flag: number): number {
    const same = block === this.#last;
    const low = offset % TWO_TO_32;
    if (low % RAM_WORD_ALIGNMENT !== 0)
      throw new MultifdError('ERR_INTERNAL', `a page at ${offset} leaves no room for flags`);
    put32(into, at, Math.floor(offset / TWO_TO_32));
    put32(into, at + 4, low + flag + (same ? RamFlag.CONTINUE : 0));
    if (same) return at + WORD_BYTES;
    this.#last = block;
    const id = this.#ids[block]!;
    into[at + WORD_BYTES] = id.length;
    into.set(id, at + WORD_BYTES + 1);
    return at + WORD_BYTES + 1 + id.length;
  }
}

function put32(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24;
  into[at + 1] = value >>> 16;
  into[at + 2] = value >>> 8;
  into[at + 3] = value;
}
