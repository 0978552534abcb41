/** Whether `length` bytes are the same in both; a memcmp. */
export function sameBytes(
  a: Uint8Array,
  aAt: number,
  b: Uint8Array,
  bAt: number,
  length: number,
): boolean {
  // Of Buffer only the function is wanted, which takes any bytes: a Buffer for each view would cost
  // more than a page's comparison.
  return Buffer.prototype.compare.call(a as Buffer, b, bAt, bAt + length, aAt, aAt + length) === 0;
}
