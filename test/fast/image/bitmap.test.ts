import { describe, expect, test } from 'vitest';
import { countBits, runsOf } from '../../../src/image/index.ts';
import { Random, SEED } from '../../support/random.ts';
import { bitmapOf } from '../../support/image.ts';

const runs = (pages: number[], end: number, length = 16): number[][] =>
  [...runsOf(bitmapOf(pages, length), end)].map((run) => [run.start, run.end]);

describe('bitmaps', () => {
  test.each([
    ['none', [], []],
    ['the first', [0], [[0, 1]]],
    ['the last', [99], [[99, 100]]],
    [
      'across words',
      [30, 31, 32, 33, 63, 64],
      [
        [30, 34],
        [63, 65],
      ],
    ],
    ['whole words', Array.from({ length: 96 }, (_, page) => page), [[0, 96]]],
    [
      'alternating',
      [1, 3, 5],
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
    ],
    ['bit 31, the sign', [31], [[31, 32]]],
    ['beyond the end', [98, 99, 100, 101], [[98, 100]]],
  ])('runs: %s', (_what, pages, expected) => {
    expect(runs(pages, 100)).toEqual(expected);
  });

  test(`random bitmaps against one bit at a time, SEED ${SEED}`, () => {
    const random = new Random(SEED);
    for (let round = 0; round < 200; round++) {
      const end = random.below(320);
      const density = random.fraction();
      const pages = Array.from({ length: end }, (_, page) => page).filter(() =>
        random.chance(density),
      );
      // One byte further in, so that words are not aligned.
      const bitmap = new Uint8Array(41).subarray(1);
      bitmap.set(bitmapOf(pages, 40));
      const found = [...runsOf(bitmap, end)].flatMap((run) =>
        Array.from({ length: run.end - run.start }, (_, i) => run.start + i),
      );
      expect(found).toEqual(pages);
      expect(countBits(bitmap)).toBe(pages.length);
      const all = [...runsOf(bitmap, end)];
      for (const [index, run] of all.slice(1).entries())
        expect(run.start).toBeGreaterThan(all[index]!.end);
    }
  });
});
