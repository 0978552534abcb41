/** Big-endian words, as the wire has them, against the little-endian words of WebAssembly. */

// @ts-ignore: decorator
@inline
export function loadBe32(at: usize, offset: usize = 0): u32 {
  return bswap(load<u32>(at + offset));
}

// @ts-ignore: decorator
@inline
export function storeBe32(at: usize, value: u32, offset: usize = 0): void {
  store<u32>(at + offset, bswap(value));
}

// @ts-ignore: decorator
@inline
export function loadBe64(at: usize, offset: usize = 0): u64 {
  return bswap(load<u64>(at + offset));
}

// @ts-ignore: decorator
@inline
export function storeBe64(at: usize, value: u64, offset: usize = 0): void {
  store<u64>(at + offset, bswap(value));
}

/** Copies `count` 64-bit words and reverses the bytes of each: big-endian to native, or back. */
export function copySwapped64(dst: usize, src: usize, count: u32): void {
  const pairs = count >> 1;
  for (let i: u32 = 0; i < pairs; i++) {
    const two = v128.load(src);
    v128.store(dst, i8x16.shuffle(two, two, 7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));
    src += 16;
    dst += 16;
  }
  if (count & 1) store<u64>(dst, bswap(load<u64>(src)));
}

/** Bit i of a mask: bit i & 7 of byte i >> 3. */
// @ts-ignore: decorator
@inline
export function maskBit(mask: usize, i: u32): u32 {
  return (<u32>load<u8>(mask + (i >> 3)) >> (i & 7)) & 1;
}
