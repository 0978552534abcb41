import { ID_LENGTH, MAGIC, RAM, VERSION } from 'multifd/core';

/** What the core does, in JavaScript alone, as fast as it goes there. */

const WORD = 4;

/** How many pages are all zero. */
export function countZeroPages(words: Uint32Array, pageSize: number): number {
  const step = pageSize / WORD;
  let zero = 0;
  for (let start = 0; start < words.length; start += step) {
    const end = start + step;
    let at = start;
    while (
      at < end &&
      (words[at]! |
        words[at + 1]! |
        words[at + 2]! |
        words[at + 3]! |
        words[at + 4]! |
        words[at + 5]! |
        words[at + 6]! |
        words[at + 7]!) ===
        0
    )
      at += 8;
    if (at === end) zero++;
  }
  return zero;
}

/** The primes of xxHash32, and its two rotations. */
const [P1, P2, P3] = [0x9e3779b1 | 0, 0x85ebca77 | 0, 0xc2b2ae3d | 0];

/**
 * A hash of 32 bits for each page: xxHash32's four lanes and its last mixing. JavaScript has no
 * 64-bit product that would be faster.
 */
export function hashPages(words: Uint32Array, pageSize: number, out: Uint32Array): void {
  const step = pageSize / WORD;
  for (let page = 0; page < out.length; page++) {
    let [a, b, c, d] = [(P1 + P2) | 0, P2, 0, -P1 | 0];
    for (let at = page * step; at < (page + 1) * step; at += 4) {
      a = lane(a, words[at]!);
      b = lane(b, words[at + 1]!);
      c = lane(c, words[at + 2]!);
      d = lane(d, words[at + 3]!);
    }
    let hash = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18) + pageSize) | 0;
    hash = Math.imul(hash ^ (hash >>> 15), P2);
    hash = Math.imul(hash ^ (hash >>> 13), P3);
    out[page] = hash ^ (hash >>> 16);
  }
}

function lane(sum: number, word: number): number {
  return Math.imul(rotate((sum + Math.imul(word, P2)) | 0, 13), P1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** Copies pages one behind the other. */
export function gather(
  target: Uint8Array,
  ram: Uint8Array,
  offsets: Float64Array,
  pageSize: number,
): void {
  for (let page = 0; page < offsets.length; page++)
    target.set(ram.subarray(offsets[page]!, offsets[page]! + pageSize), page * pageSize);
}

/** Fills the header of a packet whose pages all have content. */
export function fillHeader(
  header: DataView,
  id: Uint8Array,
  offsets: Float64Array,
  pageSize: number,
  packet: number,
): void {
  header.setUint32(RAM.magic, MAGIC);
  header.setUint32(RAM.version, VERSION);
  header.setUint32(RAM.flags, 0);
  header.setUint32(RAM.pagesAlloc, offsets.length);
  header.setUint32(RAM.normalPages, offsets.length);
  header.setUint32(RAM.nextPacketSize, offsets.length * pageSize);
  setLong(header, RAM.packetNum, packet);
  header.setUint32(RAM.zeroPages, 0);
  new Uint8Array(header.buffer, header.byteOffset + RAM.ramblock, ID_LENGTH).set(id);
  for (let page = 0; page < offsets.length; page++)
    setLong(header, RAM.offset + 8 * page, offsets[page]!);
}

/** Two halves are faster than a BigInt. */
function setLong(view: DataView, at: number, value: number): void {
  view.setUint32(at, value / 2 ** 32);
  view.setUint32(at + WORD, value);
}
