/** A batch: the pages of one packet, as a list of u64 byte offsets into their block. */
import { Run } from '../src/core/packet-layout';
import { maskBit } from './bytes';
import { isZero } from './pages';

/** Fills a list with `count` neighbours, from page `first` of the block on. */
export function neighbours(offsets: usize, first: u32, count: u32, pageSize: u32): void {
  let offset = <u64>first * pageSize;
  for (const end = offsets + (count << 3); offsets != end; offsets += 8) {
    store<u64>(offsets, offset);
    offset += pageSize;
  }
}

/**
 * Puts the offsets of pages whose mask bit is clear (normal pages) before those whose bit is set
 * (zero pages), each in the order they had: the order in which a RAM packet lists them. `scratch`
 * holds 8 * count bytes. Returns the count of normal pages.
 */
export function partition(offsets: usize, count: u32, mask: usize, scratch: usize): u32 {
  let normal: u32 = 0;
  let zero: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const offset = load<u64>(offsets + (i << 3));
    // A normal page's offset moves down or stays, so nothing unread is overwritten.
    if (maskBit(mask, i)) store<u64>(scratch + (zero++ << 3), offset);
    else store<u64>(offsets + (normal++ << 3), offset);
  }
  memory.copy(offsets + (normal << 3), scratch, zero << 3);
  return normal;
}

/**
 * Moves the pages of a staged batch (page i at `pages` + i * pageSize) whose mask bit is clear to
 * the front, in order. Returns how many they are; what lies behind them is left over and undefined.
 */
export function compact(pages: usize, pageSize: u32, count: u32, mask: usize): u32 {
  let normal: u32 = 0;
  for (let i: u32 = 0; i < count; ) {
    if (maskBit(mask, i)) {
      i++;
      continue;
    }
    const first = i;
    while (i < count && !maskBit(mask, i)) i++;
    const bytes = (i - first) * pageSize;
    if (first != normal) memory.copy(pages + normal * pageSize, pages + first * pageSize, bytes);
    normal += i - first;
  }
  return normal;
}

/**
 * How many pages from page `first` on lie behind each other in the block, so that they are one run
 * of bytes.
 */
function runLength(offsets: usize, first: u32, count: u32, pageSize: u32): u32 {
  let next = load<u64>(offsets + (first << 3)) + pageSize;
  let i = first + 1;
  while (i < count && load<u64>(offsets + (i << 3)) == next) {
    next += pageSize;
    i++;
  }
  return i - first;
}

/** Copies the pages at `base` + each offset to `dst`, one behind the other. */
export function gather(dst: usize, base: usize, offsets: usize, count: u32, pageSize: u32): void {
  for (let i: u32 = 0; i < count; ) {
    const length = runLength(offsets, i, count, pageSize);
    memory.copy(dst, base + <usize>load<u64>(offsets + (i << 3)), length * pageSize);
    dst += length * pageSize;
    i += length;
  }
}

/** Copies pages that lie one behind the other at `src` to `base` + each offset, in order. */
export function scatter(base: usize, src: usize, offsets: usize, count: u32, pageSize: u32): void {
  for (let i: u32 = 0; i < count; ) {
    const length = runLength(offsets, i, count, pageSize);
    memory.copy(base + <usize>load<u64>(offsets + (i << 3)), src, length * pageSize);
    src += length * pageSize;
    i += length;
  }
}

/**
 * Zeroes the pages at `base` + each offset. One that is zero already is only read: memory that was
 * never touched stays without a page frame behind it.
 */
export function clear(base: usize, offsets: usize, count: u32, pageSize: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    clearRun(base + <usize>load<u64>(offsets + (i << 3)), pageSize, 1);
  }
}

/** The same for `count` contiguous pages. */
export function clearRun(pages: usize, pageSize: u32, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    if (!isZero(pages, pageSize)) memory.fill(pages, 0, pageSize);
    pages += pageSize;
  }
}

/**
 * Merges pages that lie behind each other into runs, in the order given, and returns how many there
 * are.
 *
 * ```
 * run i, 16 bytes at out + 16 * i:
 *  0  f64  byte offset in the block
 *  8  f64  length in bytes
 * ```
 *
 * They are f64, exact up to 2^53, so that JavaScript reads offsets past 4 GiB without a BigInt.
 */
export function runs(offsets: usize, count: u32, pageSize: u32, out: usize): u32 {
  let found: u32 = 0;
  for (let i: u32 = 0; i < count; found++) {
    const length = runLength(offsets, i, count, pageSize);
    store<f64>(out, <f64>load<u64>(offsets + (i << 3)), Run.offset);
    store<f64>(out, <f64>(<u64>length * pageSize), Run.bytes);
    out += Run.length;
    i += length;
  }
  return found;
}
