/**
 * One bit per page, as QEMU's mapped-ram files have it on a little-endian host: 64-bit
 * little-endian words, page p is bit p & 63 of word p >> 6. A bitmap is 8-byte aligned and whole
 * words long.
 */

// @ts-ignore: decorator
@inline
function change(word: usize, bits: u64, present: bool): void {
  if (ASC_FEATURE_THREADS) {
    // Channels mark side by side, and pages of two channels share a word: a plain read and write
    // would lose bits. Nothing but the bits is published here; the reader is ordered behind the
    // channels by their sync.
    if (present) atomic.or<u64>(word, bits);
    else atomic.and<u64>(word, ~bits);
  } else {
    const before = load<u64>(word);
    store<u64>(word, present ? before | bits : before & ~bits);
  }
}

/** Sets (present) or clears the bits of the pages at `count` u64 byte offsets. */
export function markPages(
  bitmap: usize,
  offsets: usize,
  count: u32,
  pageSize: u32,
  present: bool,
): void {
  let word: usize = 0;
  let bits: u64 = 0;
  // Neighbouring pages mostly share a word: their bits are collected, so that each word is changed
  // once.
  for (let i: u32 = 0; i < count; i++) {
    const page = load<u64>(offsets + (i << 3)) / pageSize;
    const at = bitmap + (<usize>(page >> 6) << 3);
    if (at != word) {
      if (bits) change(word, bits, present);
      word = at;
      bits = 0;
    }
    bits |= <u64>1 << (page & 63);
  }
  if (bits) change(word, bits, present);
}

/**
 * First bit from `from` on that differs from the bits of `flip` (all clear or all set), or `end`.
 */
// @ts-ignore: decorator
@inline
function nextBit(bitmap: usize, from: u32, end: u32, flip: u64): u32 {
  if (from >= end) return end;
  // In 64 bits: the first bit of the word behind the last one can be 2^32.
  let first = <u64>from & ~63;
  let word = (load<u64>(bitmap + <usize>(first >> 3)) ^ flip) & (<u64>-1 << (from & 63));
  while (!word) {
    first += 64;
    if (first >= end) return end;
    word = load<u64>(bitmap + <usize>(first >> 3)) ^ flip;
  }
  return <u32>min<u64>(first + ctz(word), end);
}

/** First page from `from` on whose bit is set, or `end` when there is none below it. */
export function nextRun(bitmap: usize, from: u32, end: u32): u32 {
  return nextBit(bitmap, from, end, 0);
}

/** First page from `from` on whose bit is clear, or `end` when there is none below it. */
export function runEnd(bitmap: usize, from: u32, end: u32): u32 {
  return nextBit(bitmap, from, end, -1);
}

/** How many bits of the pages below `end` are set. */
export function countBits(bitmap: usize, end: u32): u32 {
  let set: u64 = 0;
  const last = bitmap + (<usize>(end >> 6) << 3);
  for (; bitmap != last; bitmap += 8) set += popcnt(load<u64>(bitmap));
  if (end & 63) set += popcnt(load<u64>(last) & ~(<u64>-1 << (end & 63)));
  return <u32>set;
}
