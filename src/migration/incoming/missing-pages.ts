import { MultifdError } from '../../util/errors.ts';
import { bitmapLength, type RamBlock } from '../../stream/index.ts';

/**
 * The pages that have not come in postcopy: those that the source has told of before its guest
 * would run here. A bit each, in little-endian 64-bit words.
 */
export class MissingPages {
  readonly #blocks: readonly RamBlock[];
  readonly #pageSize: number;
  readonly #bitmaps: readonly Uint8Array[];
  #count = 0;

  constructor(blocks: readonly RamBlock[], pageSize: number) {
    this.#blocks = blocks;
    this.#pageSize = pageSize;
    this.#bitmaps = blocks.map(
      ({ usedLength }) => new Uint8Array(bitmapLength(usedLength, pageSize)),
    );
  }

  /** Pages. */
  get count(): number {
    return this.#count;
  }

  /**
   * The pages from `offset` on are missing. A source says so once of each, so that what it takes is
   * bounded by the blocks.
   * @throws MultifdError ERR_STREAM for what are no whole pages, and for one that is missing
   *   already.
   */
  add(block: number, offset: number, length: number): void {
    const first = offset / this.#pageSize;
    const end = first + length / this.#pageSize;
    const bitmap = this.#bitmaps[block]!;
    if (!Number.isInteger(first) || !Number.isInteger(end)) throw this.#wrong(block, offset);
    for (let page = first; page < end; page++) {
      if ((bitmap[page >> 3]! & (1 << (page & 7))) !== 0)
        throw this.#wrong(block, page * this.#pageSize);
      this.#set(block, page, true);
    }
  }

  /** The page at `offset` has come. */
  take(block: number, offset: number): void {
    this.#set(block, offset / this.#pageSize, false);
  }

  /** One bit a page, set for each that is here; whole 64-bit words, nothing behind the end. */
  received(block: number): Uint8Array {
    const { usedLength } = this.#blocks[block]!;
    const pages = usedLength / this.#pageSize;
    const received = this.#bitmaps[block]!.map((byte) => ~byte);
    for (let page = pages; page < received.length * 8; page++)
      received[page >> 3]! &= ~(1 << (page & 7));
    return received;
  }

  /** @throws MultifdError ERR_STREAM if there is one. */
  demandNone(): void {
    if (this.#count === 0) return;
    const block = this.#bitmaps.findIndex((bitmap) => bitmap.some((byte) => byte !== 0));
    throw new MultifdError(
      'ERR_STREAM',
      `the stream ended with ${this.#count} pages missing that had changed, some of them of ` +
        `${this.#blocks[block]!.id}`,
      { channel: 'main' },
    );
  }

  #wrong(block: number, offset: number): MultifdError {
    return new MultifdError(
      'ERR_STREAM',
      `the source names pages that have changed at ${offset} of ${this.#blocks[block]!.id} ` +
        'twice, or parts of pages',
      { channel: 'main' },
    );
  }

  #set(block: number, page: number, missing: boolean): void {
    const bitmap = this.#bitmaps[block]!;
    const mask = 1 << (page & 7);
    if (((bitmap[page >> 3]! & mask) !== 0) === missing) return;
    bitmap[page >> 3]! ^= mask;
    this.#count += missing ? 1 : -1;
  }
}
