import { givenBytes, integer } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';

/**
 * Bitmaps of mapped-ram blocks: one bit per page, in little-endian 64-bit words, so that bit p is
 * bit `p % 8` of byte `p / 8`. Their length in bytes is a multiple of 8.
 */

const WORD_BITS = 32;

/** Neighbouring pages that are present: from page `start` up to, not with, page `end`. */
export interface PageRun {
  /** The first page. */
  readonly start: number;
  /** The first page behind it. */
  readonly end: number;
}

/** How many bits of a mapped-ram bitmap are set. */
export function countBits(bitmap: ArrayBufferView): number {
  const words = viewOf(bitmap);
  let count = 0;
  for (let at = 0; at < words.byteLength; at += 4) {
    let word = words.getUint32(at);
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    word = (word + (word >>> 4)) & 0x0f0f0f0f;
    count += Math.imul(word, 0x01010101) >>> 24;
  }
  return count;
}

/** Whether a bit is set for a page at or past `pages`. */
export function hasBitsPast(bitmap: Uint8Array, pages: number): boolean {
  return findBit(viewOf(bitmap), pages, bitmap.length * 8, true) < bitmap.length * 8;
}

/**
 * The runs of set bits among the first `pages`, ascending and as long as they can be.
 * @throws MultifdError ERR_OPTION for more pages than there are bits.
 */
export function runsOf(bitmap: ArrayBufferView, pages: number): Generator<PageRun> {
  const words = viewOf(bitmap);
  return eachRun(words, integer('pages', pages, 0, words.byteLength * 8));
}

function* eachRun(words: DataView, pages: number): Generator<PageRun> {
  let start = findBit(words, 0, pages, true);
  while (start < pages) {
    const end = findBit(words, start, pages, false);
    yield { start, end };
    start = findBit(words, end, pages, true);
  }
}

/** The bits that are set in both; of the same length. */
export function bothOf(one: Uint8Array, other: Uint8Array): Uint8Array {
  return one.map((byte, index) => byte & other[index]!);
}

/** The bits that are set in the first and not in the second; of the same length. */
export function exceptOf(one: Uint8Array, other: Uint8Array): Uint8Array {
  return one.map((byte, index) => byte & ~other[index]!);
}

/**
 * The first page below `pages` whose bits differ and that has none in `allowed`; undefined if there
 * is none.
 */
export function firstDifference(
  one: Uint8Array,
  other: Uint8Array,
  allowed: Uint8Array,
  pages: number,
): number | undefined {
  const differing = one.map((byte, index) => (byte ^ other[index]!) & ~allowed[index]!);
  const found = findBit(viewOf(differing), 0, pages, true);
  return found < pages ? found : undefined;
}

/** The first bit from `from` on that is set (or clear, by `wanted`); `end` if none is before it. */
function findBit(words: DataView, from: number, end: number, wanted: boolean): number {
  const invert = wanted ? 0 : -1;
  let bit = from;
  while (bit < end) {
    const shift = bit % WORD_BITS;
    const word = (words.getUint32((bit - shift) / 8, true) ^ invert) >>> shift;
    if (word !== 0) return Math.min(end, bit + trailingZeros(word));
    bit += WORD_BITS - shift;
  }
  return end;
}

function trailingZeros(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** @throws MultifdError ERR_OPTION for what is no bitmap. */
function viewOf(bitmap: ArrayBufferView): DataView {
  const { buffer, byteOffset, byteLength } = givenBytes('bitmap', bitmap);
  if (byteLength % 4 !== 0)
    throw new MultifdError(
      'ERR_OPTION',
      `a bitmap of ${byteLength} bytes: give whole words of 64 bits`,
    );
  return new DataView(buffer, byteOffset, byteLength);
}
