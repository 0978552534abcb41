import type * as node from '../node/memory.ts';

const WORD = 4;

/** By words: there is no memcmp in browsers. */
export const sameBytes: typeof node.sameBytes = (a, aAt, b, bAt, length) => {
  const aOffset = a.byteOffset + aAt;
  const bOffset = b.byteOffset + bAt;
  if ((aOffset | bOffset | length) % WORD !== 0)
    return sameEach(a.subarray(aAt, aAt + length), b.subarray(bAt, bAt + length));
  const aWords = new Int32Array(a.buffer, aOffset, length / WORD);
  const bWords = new Int32Array(b.buffer, bOffset, length / WORD);
  for (let at = 0; at < aWords.length; at++) if (aWords[at] !== bWords[at]) return false;
  return true;
};

function sameEach(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
