/** Where everything lies that the kernels work on; the native program has the same. */

export const PAGE = 4096;
/** Pages of a packet. */
export const BATCH = 128;
export const KERNELS = [
  'zero scan: all zero',
  'zero scan: the last 16 bytes not',
  'zero scan: the first byte not',
  'compare',
  'hash',
  'gather: scattered',
  'gather: neighbours',
  'scatter',
  'packet: fill',
  'packet: check',
] as const;
export type Kernel = (typeof KERNELS)[number];

/** Packets are counted in millions, memory in GiB. */
export type Metric = 'GiB/s' | 'M/s';

export function metricOf(kernel: Kernel): Metric {
  return kernel.startsWith('packet') ? 'M/s' : 'GiB/s';
}

/** How much of its metric's unit one packet, or one page, is. */
export const PACKET_AMOUNT = 1e-6;
export const PAGE_AMOUNT = PAGE / 2 ** 30;
/** Packets of one pass. */
export const PACKETS = 10_000;

/** What one pass does; it returns how much that was, in the unit of the kernel's metric. */
export type Pass = () => number;

const MIB = 2 ** 20;
export const KEY_AT = 4096;
export const HASH_AT = 16 * 1024;
export const MASK_AT = 17 * 1024;
export const COUNTER_AT = 18 * 1024;
export const BLOCKS_AT = 20 * 1024;
export const INFO_AT = 22 * 1024;
export const PACKET_AT = 24 * 1024;
export const CHECKED_AT = 32 * 1024;
export const SLOT_AT = MIB;
export const OFFSETS_AT = 2 * MIB;
export const RAM_AT = 4 * MIB;
/** Two memories at the same place in their large pages get in each other's way in the caches. */
const SKEW = 3 * PAGE;

export const BLOCK_ID = 'pc.ram';
export const ID_BYTES = 256;

export interface Ground {
  bytes: Uint8Array;
  /** Of the memory that is worked on. */
  pages: number;
  /** Where its copy is. */
  copyAt: number;
}

export function groundBytes(mib: number): number {
  return RAM_AT + 2 * mib * MIB + SKEW;
}

/**
 * Lays out a kernel's memory, and writes to every page of it, so that none is the system's one zero
 * page.
 */
export function layGround(buffer: ArrayBufferLike, mib: number, kernel: Kernel): Ground {
  const bytes = new Uint8Array(buffer);
  const pages = (mib * MIB) / PAGE;
  const copyAt = RAM_AT + mib * MIB + SKEW;
  const content = kernel.startsWith('zero scan') ? 0 : 0x5a;
  bytes.fill(content, RAM_AT, RAM_AT + pages * PAGE);
  if (kernel === 'compare') bytes.fill(content, copyAt, copyAt + pages * PAGE);
  bytes.fill(1, SLOT_AT, SLOT_AT + BATCH * PAGE);
  for (let at = KEY_AT, word = 1; at < KEY_AT + PAGE + 32; at++)
    bytes[at] = (word = Math.imul(word, 0x41c64e6d) + 12345) >>> 16;
  const inPage = {
    'zero scan: the last 16 bytes not': PAGE - 16,
    'zero scan: the first byte not': 0,
  }[kernel as string];
  if (inPage !== undefined)
    for (let page = 0; page < pages; page++) bytes[RAM_AT + page * PAGE + inPage] = 1;
  const offsets = new BigUint64Array(buffer, OFFSETS_AT, pages);
  for (let page = 0; page < pages; page++) offsets[page] = BigInt(page * PAGE);
  if (kernel === 'gather: scattered' || kernel === 'scatter') shuffle(offsets);
  for (let i = 0; i < BLOCK_ID.length; i++) bytes[BLOCKS_AT + i] = BLOCK_ID.charCodeAt(i);
  new BigUint64Array(buffer, BLOCKS_AT + ID_BYTES, 1)[0] = BigInt(pages * PAGE);
  return { bytes, pages, copyAt };
}

/** Always the same order: that of a small generator, which the native program has too. */
function shuffle(offsets: BigUint64Array): void {
  let word = 1;
  for (let last = offsets.length - 1; last > 0; last--) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    const other = word % (last + 1);
    const kept = offsets[last]!;
    offsets[last] = offsets[other]!;
    offsets[other] = kept;
  }
}
