import type { Random } from '../../support/random.ts';

/** Changes to bytes, as an enemy or a broken disk makes them. */

const EXTREMES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];
const LARGE = [2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 4096n, 2n ** 64n - 1n];

/** A 32-bit value at a limit, or a little off one. */
export function extreme32(random: Random): number {
  return (random.pick(EXTREMES) + random.pick([0, 0, 0, 1, -1])) >>> 0;
}

/** The same of 64 bits. */
export function extreme64(random: Random): bigint {
  const value = random.chance(0.5) ? BigInt(extreme32(random)) : random.pick(LARGE);
  const shifted = random.chance(0.3) ? value * 4096n : value;
  return BigInt.asUintN(64, shifted);
}

/** Writes an extreme over a field of 1, 2, 4 or 8 bytes, as far as it fits. */
export function setField(random: Random, bytes: Uint8Array, at: number, size: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (at + size > bytes.length) return;
  if (size === 8) view.setBigUint64(at, extreme64(random));
  else if (size === 4) view.setUint32(at, extreme32(random));
  else if (size === 2) view.setUint16(at, extreme32(random) & 0xffff);
  else view.setUint8(at, random.pick([0, 1, 2, 0x7f, 0x80, 0xff, random.below(256)]));
}

/**
 * A copy with something changed in it: bits, bytes, a field at any place, a piece cut out, doubled
 * or put in.
 */
export function mutated(random: Random, bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  if (copy.length === 0) return random.bytes(1 + random.below(16));
  const at = random.below(copy.length);
  switch (random.below(8)) {
    case 0:
      copy[at]! ^= 1 << random.below(8);
      return copy;
    case 1:
      copy[at] = random.below(256);
      return copy;
    case 2:
    case 3:
      setField(random, copy, at, random.pick([1, 2, 4, 8]));
      return copy;
    case 4: {
      // Whoever aims knows where fields are: on a boundary.
      const size = random.pick([4, 8]);
      setField(random, copy, at - (at % size), size);
      return copy;
    }
    case 5:
      return copy.subarray(0, at);
    case 6: {
      const end = Math.min(copy.length, at + 1 + random.below(64));
      const piece = random.chance(0.5) ? [] : [copy.subarray(at, end), copy.subarray(at, end)];
      return Uint8Array.from(Buffer.concat([copy.subarray(0, at), ...piece, copy.subarray(end)]));
    }
    default: {
      const junk = random.bytes(1 + random.below(random.chance(0.1) ? 100_000 : 64));
      return Uint8Array.from(Buffer.concat([copy.subarray(0, at), junk, copy.subarray(at)]));
    }
  }
}

/** Applies 1 to 4 of them. */
export function mutatedSome(random: Random, bytes: Uint8Array): Uint8Array {
  let result = bytes;
  for (let left = 1 + random.below(4); left > 0; left--) result = mutated(random, result);
  return result;
}

/** Pieces of random lengths that make up the whole. */
export function inPieces(random: Random, bytes: Uint8Array): Uint8Array[] {
  if (random.chance(0.7)) return [bytes];
  const pieces: Uint8Array[] = [];
  const most = random.pick([1, 7, 100, 5000]);
  // Bytes one by one are for short messages.
  const least = Math.ceil(bytes.length / 50);
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + Math.max(least, 1 + random.below(most)));
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}

const SIGNS = [
  '',
  ' ',
  '\0',
  ':',
  '/',
  '//',
  '[',
  ']',
  '%',
  ',',
  '=',
  '@',
  '#',
  '?',
  '\\',
  '"',
  '\n',
  'ü',
  '\ud800',
];

/** Text that is none of anything. */
export function junkText(random: Random): string {
  const parts: string[] = [];
  for (let left = random.below(6); left > 0; left--) {
    parts.push(random.chance(0.5) ? random.pick(SIGNS) : String.fromCharCode(random.below(0x300)));
  }
  if (random.chance(0.05)) parts.push('x'.repeat(random.below(70_000)));
  return parts.join('');
}

/** A value of any type, for where another was expected. */
export function junkValue(random: Random): unknown {
  return random.pick<() => unknown>([
    () => undefined,
    () => null,
    () => true,
    () => false,
    () => NaN,
    () => Infinity,
    () => -1,
    () => 0.5,
    () => 2 ** 53,
    () => extreme32(random),
    () => extreme64(random),
    () => '',
    () => junkText(random),
    () => Symbol('junk'),
    () => [],
    () => [undefined],
    () => ({}),
    () => ({ path: 7 }),
    () => Object.create(null) as object,
    () => () => {},
    () => new Date(NaN),
    () => new URL('http://127.0.0.1:1/'),
    () => new Uint8Array(random.below(20)),
    () => new Float64Array(3),
    () => new DataView(new ArrayBuffer(8)),
    () => new ArrayBuffer(0),
    () => new SharedArrayBuffer(3),
    () => new Map(),
    () => new Proxy({}, {}),
  ])();
}
