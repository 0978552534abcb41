/** Node's memcmp, which Deno, Bun and some workers have too. */
const { Buffer } = globalThis as { Buffer?: { prototype: { compare: BufferCompare } } };
type BufferCompare = (
  other: Uint8Array,
  otherStart: number,
  otherEnd: number,
  start: number,
  end: number,
) => number;
const compare = Buffer?.prototype.compare;
const WORD = 4;

/** Whether `length` bytes are the same in both. */
export function sameBytes(
  a: Uint8Array,
  aAt: number,
  b: Uint8Array,
  bAt: number,
  length: number,
): boolean {
  // Only the function is wanted, which takes any bytes: a Buffer for each view would cost more than
  // a page's comparison.
  if (compare !== undefined) return compare.call(a, b, bAt, bAt + length, aAt, aAt + length) === 0;
  return sameWords(a, aAt, b, bAt, length);
}

/** By words: browsers have no memcmp. */
function sameWords(
  a: Uint8Array,
  aAt: number,
  b: Uint8Array,
  bAt: number,
  length: number,
): boolean {
  const aOffset = a.byteOffset + aAt;
  const bOffset = b.byteOffset + bAt;
  if ((aOffset | bOffset | length) % WORD !== 0)
    return sameEach(a.subarray(aAt, aAt + length), b.subarray(bAt, bAt + length));
  const aWords = new Int32Array(a.buffer, aOffset, length / WORD);
  const bWords = new Int32Array(b.buffer, bOffset, length / WORD);
  for (let at = 0; at < aWords.length; at++) if (aWords[at] !== bWords[at]) return false;
  return true;
}

function sameEach(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
