import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { finishImageUpdate, type ImageUpdate, type Stamp } from '../../../src/image/index.ts';
import {
  bitmapsOf,
  changesOf,
  fillUpdate,
  later,
  type Memory,
  openUpdate,
  randomMemory,
  randomTail,
  whichIs,
  writeWhole,
} from '../../support/image-update.ts';
import { PAGE } from '../../support/image.ts';
import { Random, SEED } from '../../support/random.ts';
import { foldersInMemory } from './folders.ts';
import { materialize } from './model.ts';
import { type PowerCut, type PowerOptions, PowerSupply, textOf } from './power.ts';

const random = new Random(SEED);
const before = { ...randomMemory(random, [9, 3]), tail: randomTail(random, 500) };
before.blocks[0]!.content.fill(0, 0, PAGE);
const longer = { ...later(random, before, 0.5), tail: randomTail(random, 2000) };
const shorter = { ...later(random, before, 0.5), tail: randomTail(random, 50) };
for (const { blocks } of [longer, shorter]) blocks[0]!.content[0] = 1;

const freshFolder = foldersInMemory();

/** What is to be done with the image, and what it is afterwards. */
interface Course {
  image: string;
  where: string;
  supply: PowerSupply;
  update: () => Promise<unknown>;
}

/** An image of `before` on the disk, open for an update to `after`. */
async function toBeUpdated(after: Memory): Promise<Course> {
  const where = await freshFolder();
  const image = join(where, 'image');
  const stamp = await writeWhole(image, before);
  const supply = new PowerSupply(where);
  return { image, where, supply, update: () => updated(image, stamp, after) };
}

async function updated(image: string, stamp: Stamp, after: Memory): Promise<void> {
  const update: ImageUpdate = (await openUpdate(image, stamp, after))!;
  const changed = changesOf(before, after);
  fillUpdate(update, after, changed);
  await update.commit({ changed, bitmaps: bitmapsOf(after), tail: after.tail });
}

/** Without `before` there was no image. */
type Expected = Partial<Record<'before', Memory>> & Record<'after', Memory>;

/** What is there after the power came back, and `finishImageUpdate` was called. */
async function outcomeOf(cut: PowerCut, expected: Expected): Promise<string> {
  const where = await freshFolder();
  materialize(cut.remains, where);
  const image = join(where, 'image');
  const what = `seed ${SEED}, ${textOf(cut)}`;
  const there = (await readdir(where)).includes('image');
  const found = there
    ? await whichIs(image, expected).catch((error: Error) => error.message)
    : 'absent';
  if (there) expect(['before', 'after'], what).toContain(found);
  const stamp = await finishImageUpdate(image);
  if (expected.before === undefined && !there) {
    expect(stamp, what).toBeUndefined();
  } else {
    expect(stamp === undefined, what).toBe(there);
    const finished = await whichIs(image, expected);
    if (there) expect(finished, what).toBe(found);
    else expect(['before', 'after'], what).toContain(finished);
  }
  await rm(where, { recursive: true });
  return found;
}

async function outcomesOf(cuts: readonly PowerCut[], expected: Expected): Promise<string[]> {
  const outcomes = new Set<string>();
  for (const cut of cuts) outcomes.add(await outcomeOf(cut, expected));
  return [...outcomes].sort();
}

const atTheEnd = (cuts: readonly PowerCut[]): PowerCut[] =>
  cuts.filter(({ before: next }) => next === undefined);

const options: PowerOptions = { random, cuts: 12 };

describe(`a power cut at each operation, seed ${SEED}`, () => {
  test.each([
    ['the tail longer', longer, undefined],
    ['the tail shorter', shorter, undefined],
    ['where there are no links', longer, 'link'],
  ])('of an update, %s', async (_what, after, unsupported) => {
    const { supply, update } = await toBeUpdated(after);
    const { cuts, error } = await supply.run(update, {
      ...options,
      fails: (_, { name }) => name === unsupported,
    });
    expect(error).toBeUndefined();
    expect(await outcomesOf(cuts, { before, after })).toEqual(['absent', 'after', 'before']);
    expect(await outcomesOf(atTheEnd(cuts), { before, after })).toEqual(['after']);
  });

  test.each([
    ['one operation fails', (number: number, failing: number) => number === failing],
    [
      'every sync fails from one operation on',
      (number: number, failing: number, name: string) => number >= failing && name === 'sync',
    ],
  ])('of an update in which %s', async (_what, isFailing) => {
    const outcomes = new Set<string>();
    for (let failing = 1, over = false; !over; failing++) {
      const { supply, update } = await toBeUpdated(longer);
      let failed = false;
      const fails: PowerOptions['fails'] = (number, { name }) => {
        const now = isFailing(number, failing, name);
        failed ||= now;
        return now;
      };
      const { cuts, error } = await supply.run(update, { random, cuts: 2, fails });
      over = !failed;
      const after = cuts.filter((cut) => cut.after >= failing);
      for (const outcome of await outcomesOf(after, { before, after: longer }))
        outcomes.add(outcome);
      // Nothing is said to be done that is not.
      if (error === undefined)
        expect(
          await outcomesOf(atTheEnd(cuts), { before, after: longer }),
          `operation ${failing} failed`,
        ).toEqual(['after']);
    }
    expect([...outcomes].sort()).toEqual(['absent', 'after', 'before']);
  });

  test('of finishing what a power cut left', async () => {
    const { supply, update } = await toBeUpdated(longer);
    const { cuts } = await supply.run(update, options);
    const unfinished = cuts.filter(({ remains }) => !remains.has('image'));
    expect(unfinished.length).toBeGreaterThan(5);
    const outcomes = new Set<string>();
    for (let time = 0; time < 5; time++) {
      const where = await freshFolder();
      materialize(random.pick(unfinished).remains, where);
      const finishing = await new PowerSupply(where).run(
        () => finishImageUpdate(join(where, 'image')),
        { random, cuts: 6 },
      );
      expect(finishing.error).toBeUndefined();
      for (const outcome of await outcomesOf(finishing.cuts, { before, after: longer }))
        outcomes.add(outcome);
      expect(await outcomesOf(atTheEnd(finishing.cuts), { before, after: longer })).toEqual([
        'after',
      ]);
    }
    expect([...outcomes].sort()).toEqual(['absent', 'after']);
  });

  test('of finishing what a process left that was killed', async () => {
    // Nothing is lost by a kill, and nothing is on the disk by it: what was done last is in memory
    // when the finishing begins.
    const dry = await toBeUpdated(longer);
    const { names } = await dry.supply.run(dry.update, { random, cuts: 0 });
    const inFolder = names.flatMap((name, index) =>
      ['rename', 'link', 'rm'].includes(name) ? [index + 1, index + 2] : [],
    );
    let finished = 0;
    for (const kill of new Set([
      ...inFolder,
      ...inFolder.map(() => 1 + random.below(names.length)),
    ])) {
      const { image, supply, update } = await toBeUpdated(longer);
      await supply.run(update, { random, cuts: 0, fails: (number) => number >= kill });
      const { cuts, error } = await supply.run(() => finishImageUpdate(image), { random, cuts: 3 });
      expect(error).toBeUndefined();
      const outcomes = await outcomesOf(cuts, { before, after: longer });
      if (outcomes.includes('absent')) finished++;
    }
    expect(finished).toBeGreaterThan(2);
  });

  test('of a first image', async () => {
    const where = await freshFolder();
    const supply = new PowerSupply(where);
    const { cuts, error } = await supply.run(
      () => writeWhole(join(where, 'image'), before),
      options,
    );
    expect(error).toBeUndefined();
    expect(await outcomesOf(cuts, { after: before })).toEqual(['absent', 'after']);
    expect(await outcomesOf(atTheEnd(cuts), { after: before })).toEqual(['after']);
  });

  test('of an image that replaces another', async () => {
    const where = await freshFolder();
    const image = join(where, 'image');
    await writeWhole(image, before);
    const supply = new PowerSupply(where);
    const { cuts, error } = await supply.run(
      () => writeWhole(image, longer, { force: true }),
      options,
    );
    expect(error).toBeUndefined();
    expect(await outcomesOf(cuts, { before, after: longer })).toEqual(['after', 'before']);
    expect(await outcomesOf(atTheEnd(cuts), { before, after: longer })).toEqual(['after']);
  });

  test.each([false, true])('of an image in which one operation fails (force %s)', async (force) => {
    for (let failing = 1, over = false; !over; failing++) {
      const where = await freshFolder();
      const image = join(where, 'image');
      if (force) await writeWhole(image, before);
      const expected = force ? { before, after: longer } : { after: longer };
      const supply = new PowerSupply(where);
      let failed = false;
      const fails = (number: number): boolean => {
        failed ||= number === failing;
        return number === failing;
      };
      const { cuts, error } = await supply.run(() => writeWhole(image, longer, { force }), {
        random,
        cuts: 2,
        fails,
      });
      over = !failed;
      const outcomes = await outcomesOf(
        cuts.filter(({ after }) => after >= failing),
        expected,
      );
      if (error === undefined)
        expect(await outcomesOf(atTheEnd(cuts), expected), `operation ${failing} failed`).toEqual([
          'after',
        ]);
      else if (!force)
        expect(await readdir(where), `operation ${failing} failed`).not.toContain('image');
      expect(force && outcomes.includes('absent')).toBe(false);
    }
  });
});
