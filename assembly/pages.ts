/**
 * Zero scan and compare of whole pages. A page's size is a multiple of 64 bytes; its address needs
 * no alignment.
 */

/**
 * Bytes that one step of a scan reads: four vectors, and the number that every page size is a
 * multiple of.
 */
const STEP: usize = 64;

/**
 * True when all bytes of the page are zero. Three words are probed first: most pages that are not
 * zero show it in one of them, and many in the first, whose cache line is all that is touched of
 * the page then.
 */
export function isZero(page: usize, pageSize: u32): bool {
  if (load<u64>(page)) return false;
  const middle = (pageSize >> 1) & ~7;
  if (load<u64>(page + middle) | load<u64>(page + pageSize - 8)) return false;
  // "!=", here and below: the last page of a 4 GiB memory ends at address 2^32, which is 0.
  for (const end = page + pageSize; page != end; page += STEP) {
    const low = v128.or(v128.load(page), v128.load(page, 16));
    const high = v128.or(v128.load(page, 32), v128.load(page, 48));
    if (v128.any_true(v128.or(low, high))) return false;
  }
  return true;
}

function differs(a: usize, b: usize, pageSize: u32): bool {
  for (const end = a + pageSize; a != end; a += STEP, b += STEP) {
    const first = v128.xor(v128.load(a), v128.load(b));
    const second = v128.xor(v128.load(a, 16), v128.load(b, 16));
    const third = v128.xor(v128.load(a, 32), v128.load(b, 32));
    const fourth = v128.xor(v128.load(a, 48), v128.load(b, 48));
    if (v128.any_true(v128.or(v128.or(first, second), v128.or(third, fourth)))) return true;
  }
  return false;
}

/** How many of `count` contiguous pages come before the first one that is all zero. */
export function normalPages(pages: usize, pageSize: u32, count: u32): u32 {
  let normal: u32 = 0;
  for (; normal < count && !isZero(pages, pageSize); normal++) pages += pageSize;
  return normal;
}

/** Bit i is set when page i of `count` (at most 32) contiguous pages is all zero. */
export function zeroMask(pages: usize, pageSize: u32, count: u32): u32 {
  let mask: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    mask |= <u32>isZero(pages, pageSize) << i;
    pages += pageSize;
  }
  return mask;
}

/**
 * The same for scattered pages, at `base` + each of `count` u64 offsets: fills ceil(count / 32)
 * words at `mask`, the bits past `count` clear, and returns how many pages are zero.
 */
export function zeroMaskAt(
  base: usize,
  offsets: usize,
  pageSize: u32,
  count: u32,
  mask: usize,
): u32 {
  let zeros: u32 = 0;
  for (let i: u32 = 0; i < count; ) {
    let word: u32 = 0;
    const stop = min(count, i + 32);
    for (let bit: u32 = 0; i < stop; i++, bit++) {
      word |= <u32>isZero(base + <usize>load<u64>(offsets), pageSize) << bit;
      offsets += 8;
    }
    store<u32>(mask, word);
    mask += 4;
    zeros += popcnt(word);
  }
  return zeros;
}

/**
 * Bit i is set when page i of `count` (at most 32) contiguous pages at `a` differs from its
 * counterpart at `b`.
 */
export function compareMask(a: usize, b: usize, pageSize: u32, count: u32): u32 {
  let mask: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    mask |= <u32>differs(a, b, pageSize) << i;
    a += pageSize;
    b += pageSize;
  }
  return mask;
}
