import { HASH_LENGTH, hashKeyLength } from 'multifd/core';
import { describe, expect, it } from 'vitest';
import { Random, SEED } from '../../support/random.ts';
import { KINDS, bench, type Bench } from './support.ts';

const AT = { page: 0x1000, key: 0x3000, out: 0x5000 };
const PAGE = 4096;

async function hasher(
  kind: 'shared' | 'plain',
  random: Random,
): Promise<Bench & { halves: () => readonly [bigint, bigint] }> {
  const rig = await bench(kind);
  random.fill(rig.bytes.subarray(AT.key, AT.key + hashKeyLength(PAGE)));
  const halves = (): readonly [bigint, bigint] => {
    rig.core.hash(AT.page, PAGE, AT.key, AT.out);
    return [rig.view.getBigUint64(AT.out, true), rig.view.getBigUint64(AT.out + 8, true)];
  };
  return { ...rig, halves };
}

describe.each(KINDS)(`page hash of the %s build, SEED ${SEED}`, (kind) => {
  /** Runs `change` on many random pages; neither half may stay what it was. */
  async function expectBothHalvesToChange(
    change: (page: Uint8Array, random: Random) => void,
  ): Promise<void> {
    const random = new Random(SEED);
    const { bytes, halves } = await hasher(kind, random);
    const page = bytes.subarray(AT.page, AT.page + PAGE);
    for (let round = 0; round < 300; round++) {
      if (round % 3 === 0) random.fill(page);
      else page.fill(round % 3 === 1 ? 0 : 0xff);
      // Something to move around, in the pages that are all alike.
      page.set([1, 2, 3, 4], 8 * random.below(PAGE / 8));
      const [left, right] = halves();
      const before = page.slice();
      change(page, random);
      if (Buffer.compare(before, page) === 0) continue;
      const [leftAfter, rightAfter] = halves();
      expect([leftAfter === left, rightAfter === right], `round ${round}`).toEqual([false, false]);
    }
  }

  it('sees one bit', () =>
    expectBothHalvesToChange((page, random) => {
      page[random.below(PAGE)]! ^= 1 << random.below(8);
    }));

  it('sees the same bit in two words', () =>
    expectBothHalvesToChange((page, random) => {
      const bit = 1 << random.below(8);
      const within = random.below(4);
      const first = random.below(PAGE / 4);
      const second = (first + 1 + random.below(PAGE / 4 - 1)) % (PAGE / 4);
      for (const word of [first, second]) page[4 * word + within]! ^= bit;
    }));

  it.each([
    ['words of 32 bits', 4],
    ['words of 64 bits', 8],
    ['vectors', 16],
    ['blocks of a key step', 32],
    ['blocks of a loop step', 64],
  ])('sees two neighbouring %s swapped', (_, length) =>
    expectBothHalvesToChange((page, random) => {
      const at = length * random.below(PAGE / length - 1);
      const first = page.slice(at, at + length);
      page.copyWithin(at, at + length, at + 2 * length);
      page.set(first, at + length);
    }),
  );

  it('sees words moved from one place of the page to another', () =>
    expectBothHalvesToChange((page, random) => {
      const [from, to] = [32 * random.below(PAGE / 32), 32 * random.below(PAGE / 32)];
      page.copyWithin(to, from, from + 32);
      page.fill(0, from, from + 32);
    }));

  it('gives each page of one set bit its own hash', async () => {
    const random = new Random(SEED);
    const { bytes, halves } = await hasher(kind, random);
    const [lefts, rights, both] = [new Set<bigint>(), new Set<bigint>(), new Set<bigint>()];
    for (let bit = 0; bit < 8 * PAGE; bit++) {
      bytes[AT.page + (bit >> 3)] = 1 << (bit & 7);
      const [left, right] = halves();
      lefts.add(left);
      rights.add(right);
      both.add((left << 64n) | right);
      bytes[AT.page + (bit >> 3)] = 0;
    }
    expect(both.size).toBe(8 * PAGE);
    // 2^29 pairs of pages at 2^-32 each: a key under which two of them agree in one half is rare,
    // but there are some.
    for (const half of [lefts, rights]) expect(half.size).toBeGreaterThan(8 * PAGE - 5);
  });

  it('depends on every word of the key, and on nothing behind it', async () => {
    const random = new Random(SEED);
    const { bytes, halves } = await hasher(kind, random);
    random.fill(bytes.subarray(AT.page, AT.page + PAGE));
    const before = halves();
    for (let word = 0; word < hashKeyLength(PAGE) / 4; word++) {
      bytes[AT.key + 4 * word]! ^= 1;
      expect(halves(), `key word ${word}`).not.toEqual(before);
      bytes[AT.key + 4 * word]! ^= 1;
    }
    bytes[AT.key + hashKeyLength(PAGE)]! ^= 1;
    expect(halves()).toEqual(before);
    expect(
      bytes.slice(AT.out + HASH_LENGTH, AT.out + HASH_LENGTH + 64).every((byte) => byte === 0),
    ).toBe(true);
  });
});
