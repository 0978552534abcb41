import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { whichOutput, writeOutput } from '../../support/recording-output.ts';
import { Random, SEED } from '../../support/random.ts';
import { foldersInMemory } from './folders.ts';
import { materialize } from './model.ts';
import { type PowerCut, PowerSupply, textOf } from './power.ts';

const random = new Random(SEED);
const freshFolder = foldersInMemory();

/** What who opens the recording finds after the power came back: one that is whole, or none. */
async function outcomesOf(cuts: readonly PowerCut[]): Promise<string[]> {
  const outcomes = new Set<string>();
  for (const cut of cuts) {
    const where = await freshFolder();
    materialize(cut.remains, where);
    const found = await whichOutput(join(where, 'rec'), 'old', 'new');
    expect(['old', 'new', 'absent'], `seed ${SEED}, ${textOf(cut)}`).toContain(found);
    outcomes.add(found);
    await rm(where, { recursive: true });
  }
  return [...outcomes].sort();
}

/** What came whole and could not get its name is kept, and nothing removes that. */
async function leftIn(where: string): Promise<string[]> {
  return (await readdir(where)).filter((name) => !name.endsWith('.kept'));
}

const atTheEnd = (cuts: readonly PowerCut[]): PowerCut[] =>
  cuts.filter(({ before }) => before === undefined);

describe(`a power cut at each operation, seed ${SEED}`, () => {
  test('of a recording', async () => {
    const where = await freshFolder();
    const { cuts, error } = await new PowerSupply(where).run(
      () => writeOutput(join(where, 'rec'), 'new', false),
      { random, cuts: 12 },
    );
    expect(error).toBeUndefined();
    expect(await outcomesOf(cuts)).toEqual(['absent', 'new']);
    expect(await outcomesOf(atTheEnd(cuts))).toEqual(['new']);
  });

  test('of one that replaces another: one of them is there always', async () => {
    const where = await freshFolder();
    const path = join(where, 'rec');
    await writeOutput(path, 'old', false);
    const { cuts, error } = await new PowerSupply(where).run(() => writeOutput(path, 'new', true), {
      random,
      cuts: 12,
    });
    expect(error).toBeUndefined();
    expect(await outcomesOf(cuts)).toEqual(['new', 'old']);
    expect(await outcomesOf(atTheEnd(cuts))).toEqual(['new']);
  });

  test('of one that replaces another when an operation fails, or all from there on', async () => {
    for (const all of [false, true]) {
      for (
        let failing = 1 + (all ? random.below(2) : 0), over = false;
        !over;
        failing += all ? 2 : 1
      ) {
        const where = await freshFolder();
        const path = join(where, 'rec');
        await writeOutput(path, 'old', false);
        let failed = false;
        const fails = (number: number): boolean => {
          failed ||= number === failing;
          return all ? number >= failing : number === failing;
        };
        const { cuts, error } = await new PowerSupply(where).run(
          () => writeOutput(path, 'new', true),
          { random, cuts: 3, fails },
        );
        over = !failed;
        expect(['old,new', 'new', 'old']).toContain((await outcomesOf(cuts)).reverse().join());
        if (error === undefined)
          expect(await outcomesOf(atTheEnd(cuts)), `operation ${failing} failed`).toEqual(['new']);
        if (!all) {
          expect(['old', 'new']).toContain(await whichOutput(path, 'old', 'new'));
          await writeOutput(path, 'new', true);
          expect(await leftIn(where), `operation ${failing} failed`).toEqual(['rec']);
        }
      }
    }
  });

  test.each([
    ['that was killed', undefined],
    ['on a disk that syncs nothing any more', 'sync'],
  ])('of finding what a process left %s', async (_what, failing) => {
    const from = await freshFolder();
    await writeOutput(join(from, 'rec'), 'old', false);
    const { names } = await new PowerSupply(from).run(
      () => writeOutput(join(from, 'rec'), 'new', true),
      { random, cuts: 0 },
    );
    for (let kill = 1; kill <= names.length; kill++) {
      const where = await freshFolder();
      const path = join(where, 'rec');
      await writeOutput(path, 'old', false);
      const supply = new PowerSupply(where);
      await supply.run(() => writeOutput(path, 'new', true), {
        random,
        cuts: 0,
        fails: (number, { name }) => number >= kill && name === (failing ?? name),
      });
      if (random.chance(0.5)) {
        const read = await supply.run(() => whichOutput(path, 'old', 'new'), { random, cuts: 4 });
        expect(await outcomesOf(read.cuts)).not.toContain('absent');
      }
      // So does the next recording, whatever it then does itself.
      const again = await supply.run(() => writeOutput(path, 'new', true), { random, cuts: 2 });
      expect(again.error).toBeUndefined();
      expect(await outcomesOf(again.cuts)).not.toContain('absent');
      expect(await outcomesOf(atTheEnd(again.cuts))).toEqual(['new']);
      expect(await leftIn(where)).toEqual(['rec']);
    }
  });
});
