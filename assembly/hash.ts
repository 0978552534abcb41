/**
 * A 128-bit hash of a page: NH, the universal hash of UMAC (RFC 4418), in its Toeplitz form with
 * two keys.
 *
 * The page is read in blocks of 32 bytes. Word j (32 bits, j = 0..3) of a block's first half, a, is
 * paired with word j of its second half, b; the key is read in blocks of the same shape:
 *
 * ```
 * half 0 = sum over blocks n, words j of (a[n][j] + ka[n][j])     * (b[n][j] + kb[n][j])
 * half 1 = sum over blocks n, words j of (a[n][j] + ka[n + 1][j]) * (b[n][j] + kb[n + 1][j])
 * ```
 *
 * mod 2^64, with the additions in the brackets mod 2^32. So the key is one block (32 bytes) longer
 * than the page.
 *
 * Collisions: for two different pages that were chosen without knowledge of a uniformly random key,
 * each half alone agrees with a probability of at most 2^-32, and both with at most 2^-64. Why the
 * product holds: take the last block in which the pages differ. Its key in half 1 is the next
 * block's, and half 0 uses that one only where the pages are equal, so it cancels out of half 0's
 * difference and is still random when half 0 is decided.
 *
 * It is no cryptographic hash: who knows the key, or sees hashes, can make pages that collide.
 */

/** Sum of the products of the 32-bit words of a + ka and b + kb: two 64-bit lanes. */
// @ts-ignore: decorator
@inline
function products(a: v128, b: v128, ka: v128, kb: v128): v128 {
  const x = i32x4.add(a, ka);
  const y = i32x4.add(b, kb);
  return i64x2.add(i64x2.extmul_low_i32x4_u(x, y), i64x2.extmul_high_i32x4_u(x, y));
}

// @ts-ignore: decorator
@inline
function sumOfLanes(sums: v128): u64 {
  return i64x2.extract_lane(sums, 0) + i64x2.extract_lane(sums, 1);
}

/**
 * Hash of one page, whose size is a multiple of 64 bytes, under the key of pageSize + 32 random
 * bytes at `key`.
 *
 * ```
 * out, 16 bytes:
 *  0  u64  half 0, native order
 *  8  u64  half 1, native order
 * ```
 */
export function hash(page: usize, pageSize: u32, key: usize, out: usize): void {
  hashAhead(page, pageSize, key, out, 0);
}

/**
 * Hashes of `count` contiguous pages, each as {@link hash} gives it: 16 bytes a page, one behind
 * the other at `out`.
 *
 * While a page is hashed the next one is fetched: the processor's own prefetch ends at each page,
 * and waiting for memory takes twice the time of the hashing.
 */
export function hashPages(pages: usize, pageSize: u32, count: u32, key: usize, out: usize): void {
  for (let i: u32 = 1; i < count; i++) {
    hashAhead(pages, pageSize, key, out, pageSize);
    pages += pageSize;
    out += 16;
  }
  if (count > 0) hashAhead(pages, pageSize, key, out, 0);
}

/**
 * @param ahead how far behind each of the page's bytes another one is read, to no other end than
 *   to have it near.
 */
// @ts-ignore: decorator
@inline
function hashAhead(page: usize, pageSize: u32, key: usize, out: usize, ahead: usize): void {
  let half0 = i64x2.splat(0);
  let half1 = i64x2.splat(0);
  let fetched = i64x2.splat(0);
  let ka0 = v128.load(key);
  let kb0 = v128.load(key, 16);
  // Two blocks a step: the second block's key is the first one's in half 1, and the third is the
  // next step's first.
  for (const end = page + pageSize; page != end; page += 64, key += 64) {
    fetched = v128.or(fetched, v128.load(page + ahead));
    const ka1 = v128.load(key, 32);
    const kb1 = v128.load(key, 48);
    const ka2 = v128.load(key, 64);
    const kb2 = v128.load(key, 80);
    const a0 = v128.load(page);
    const b0 = v128.load(page, 16);
    const a1 = v128.load(page, 32);
    const b1 = v128.load(page, 48);
    half0 = i64x2.add(half0, i64x2.add(products(a0, b0, ka0, kb0), products(a1, b1, ka1, kb1)));
    half1 = i64x2.add(half1, i64x2.add(products(a0, b0, ka1, kb1), products(a1, b1, ka2, kb2)));
    ka0 = ka2;
    kb0 = kb2;
  }
  v128.store(out, fetched); // so that it is not left out; what counts goes there next
  store<u64>(out, sumOfLanes(half0));
  store<u64>(out, sumOfLanes(half1), 8);
}
