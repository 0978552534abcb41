import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { describe, expect, test } from 'vitest';
import { finishImageUpdate, type Stamp } from '../../../src/image/index.ts';
import { Random, SEED } from '../../support/random.ts';
import { type Operation, watchOperations } from '../../support/file-operations.ts';
import { CONFIGURATION, folder, PAGE, patch } from '../../support/image.ts';
import type { Job } from './update-child.ts';
import {
  bitmapsOf,
  changesOf,
  fillUpdate,
  hiddenIn,
  later,
  openUpdate,
  randomMemory,
  randomTail,
  shapesOf,
  updateImage,
  whichIs,
  writeWhole,
} from '../../support/image-update.ts';

const random = new Random(SEED);
const before = { ...randomMemory(random, [30, 3]), tail: randomTail(random, 500) };
// One that was not there before, in any case: what adds nothing skips a step.
before.blocks[0]!.content.fill(0, 0, PAGE);
const longer = { ...later(random, before, 0.4), tail: randomTail(random, 5000) };
const shorter = { ...later(random, before, 0.4), tail: randomTail(random, 50) };
for (const { blocks } of [longer, shorter]) blocks[0]!.content[0] = 1;

/** Commits an update to `longer` or `shorter` while `watch` is told of what it does. */
async function commitWatched(
  image: string,
  after: typeof before,
  watch: (operation: Operation, number: number) => void,
): Promise<Stamp> {
  return updateWatched(image, await writeWhole(image, before), after, watch);
}

async function updateWatched(
  image: string,
  stamp: Stamp,
  after: typeof before,
  watch: (operation: Operation, number: number) => void,
): Promise<Stamp> {
  const update = (await openUpdate(image, stamp, after))!;
  const changed = changesOf(before, after);
  fillUpdate(update, after, changed);
  let count = 0;
  const end = await watchOperations((operation) => watch(operation, ++count));
  return update.commit({ changed, bitmaps: bitmapsOf(after), tail: after.tail }).finally(end);
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made by the test`), { code });
}

/**
 * What an update is in the middle of: its last operation that can be undone, and the one that makes
 * the image's name last.
 */
function milestones(names: readonly Operation['name'][]): { reserved: number; named: number } {
  const aside = names.indexOf('sync', names.indexOf('rename'));
  return {
    reserved: names.indexOf('sync', aside + 1) + 1,
    named: names.indexOf('sync', names.indexOf('link')) + 1,
  };
}

describe.each([
  ['longer', longer],
  ['shorter', shorter],
])(`a failure of each operation, the tail %s, seed ${SEED}`, (_what, after) => {
  test.each([
    ['one that fails', 'EIO', false],
    ['one that fails half-way', 'ENOSPC', true],
  ])('%s', async (_how, code, half) => {
    const outcomes: string[] = [];
    const names: Operation['name'][] = [];
    await commitWatched(join(await folder(), 'image'), after, ({ name }) => void names.push(name));
    const { reserved, named } = milestones(names);
    for (let failing = 1; failing <= names.length; failing++) {
      const where = await folder();
      const image = join(where, 'image');
      const committing = commitWatched(image, after, (operation, number) => {
        if (number !== failing) return;
        if (half) operation.half();
        throw systemError(code);
      });
      const error = await committing.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      const hidden = await hiddenIn(where);
      if (error === undefined) {
        expect(await whichIs(image, { before, after })).toBe('after');
        outcomes.push('after');
      } else if (hidden.length === 0) {
        expect(error).toMatchObject({ code: 'ERR_IO', message: expect.stringContaining(code) });
        expect(await whichIs(image, { before, after })).toBe('before');
        outcomes.push('before');
      } else {
        expect(error).toMatchObject({ code: 'ERR_IO', message: expect.stringContaining(code) });
        expect(hidden).toEqual(['.image', '.update']);
        for (const name of await readdir(where))
          expect(error).toMatchObject({ message: expect.stringContaining(join(where, name)) });
        const stamp = await finishImageUpdate(image);
        expect(await whichIs(image, { before, after })).toBe('after');
        expect(await hiddenIn(where)).toEqual([]);
        const next = later(random, after, 0.1);
        await updateImage(image, stamp ?? (await lstat(image, { bigint: true })), after, next);
        expect(await whichIs(image, { next })).toBe('next');
        outcomes.push(stamp === undefined ? 'cleared' : 'finished');
      }
    }
    expect(new Set(outcomes.slice(0, reserved))).toEqual(new Set(['before']));
    // Where there are no links, the name is given by a renaming.
    expect(outcomes[names.indexOf('link')]).toBe('after');
    outcomes[names.indexOf('link')] = 'finished';
    expect(new Set(outcomes.slice(reserved, named - 1))).toEqual(new Set(['finished']));
    // It had its name, but nobody knew for how long.
    expect(outcomes[named - 1]).toBe('cleared');
    // A hidden file that can't be removed is let be.
    expect(new Set(outcomes.slice(named))).toEqual(new Set(['after']));
  });

  test('a disk that fails from one operation on', async () => {
    let seen = 0;
    for (let failing = 1; ; failing++) {
      const where = await folder();
      const image = join(where, 'image');
      let failed = false;
      const committing = commitWatched(image, after, (_operation, number) => {
        if (number < failing) return;
        failed = true;
        throw systemError('EIO');
      });
      const done = await committing.then(
        () => true,
        () => false,
      );
      if (!failed) break;
      const there = (await readdir(where)).includes('image');
      seen |= there ? 1 : 2;
      const found = there ? await whichIs(image, { before, after }) : 'absent';
      // One that has its name and can't lose it any more may be the new one, and nobody knows
      // whether for long.
      if (there) expect(done ? ['after'] : ['before', 'after']).toContain(found);
      expect((await finishImageUpdate(image)) === undefined).toBe(there);
      expect(await whichIs(image, { before, after })).toBe(there ? found : 'after');
    }
    expect(seen).toBe(3);
  });
});

describe(`a process that is killed, seed ${SEED}`, () => {
  test('at each operation leaves the old image, the new one, or what makes the new one', async () => {
    const where = await folder();
    const child = join(where, 'child.mjs');
    await build({
      entryPoints: [fileURLToPath(new URL('./update-child.ts', import.meta.url))],
      outfile: child,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'es2022',
    });
    const outcomes: string[] = [];
    let over = false;
    const killAt = async (operation: number): Promise<void> => {
      const here = join(where, String(operation));
      await mkdir(here);
      const image = join(here, 'image');
      const job = join(where, `job${operation}`);
      await writeFile(job, JSON.stringify(jobOf(image, await writeWhole(image, before))));
      const running = spawn(process.execPath, [child, job, String(operation)], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      const [status, signal] = (await once(running, 'exit')) as [number | null, string | null];
      if (status === 0) over = true;
      else expect(signal).toBe('SIGKILL');

      const there = (await readdir(here)).includes('image');
      const found = there ? await whichIs(image, { before, longer }) : 'absent';
      expect(found).not.toBe('other');
      if (status === 0) expect(found).toBe('longer');
      const stamp = await finishImageUpdate(image);
      expect(stamp === undefined).toBe(there);
      expect(await whichIs(image, { before, longer })).toBe(there ? found : 'longer');
      // A sidecar alone is nothing that anyone needs.
      expect(await hiddenIn(here)).not.toContain('.image');
      if (!there) expect(await hiddenIn(here)).toEqual([]);
      outcomes.push(found);
      // The next one leaves nothing of a process that is gone.
      await writeWhole(image, shorter, { force: true });
      expect(await hiddenIn(here)).toEqual([]);
    };
    for (let operation = 1; !over; operation += 4)
      await Promise.all([0, 1, 2, 3].map((more) => killAt(operation + more)));
    expect(new Set(outcomes)).toEqual(new Set(['before', 'absent', 'longer']));
  });

  function jobOf(path: string, stamp: Stamp): Job {
    const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
    const changed = changesOf(before, longer);
    const pages = longer.blocks.flatMap(({ content }, block) =>
      Array.from({ length: content.length / PAGE }, (_, page) => page)
        .filter((page) => changed[block]![page >> 3]! & (1 << (page & 7)))
        .map((page) => ({
          block,
          offset: page * PAGE,
          bytes: base64(content.subarray(page * PAGE, (page + 1) * PAGE)),
        })),
    );
    const asText = Object.fromEntries(
      Object.entries(stamp).map(([key, value]) => [key, String(value)]),
    ) as Job['stamp'];
    return {
      path,
      stamp: asText,
      machine: CONFIGURATION.machine,
      pageSize: PAGE,
      blocks: shapesOf(longer),
      pages,
      changed: changed.map(base64),
      bitmaps: bitmapsOf(longer).map(base64),
      tail: base64(longer.tail),
    };
  }
});

describe('finishing', () => {
  /** A folder as an update leaves it that can't give the image its name. */
  async function leftovers(
    after = longer,
  ): Promise<{ where: string; image: string; aside: string; sidecar: string }> {
    const where = await folder();
    const image = join(where, 'image');
    const committing = commitWatched(image, after, failFromLink());
    await expect(committing).rejects.toMatchObject({ code: 'ERR_IO' });
    const names = await readdir(where);
    const named = (suffix: string): string =>
      join(where, names.find((name) => name.endsWith(suffix))!);
    return { where, image, aside: named('.image'), sidecar: named('.update') };
  }

  /** From the moment that the image is to get its name back. */
  function failFromLink(): (operation: Operation) => void {
    let linking = false;
    return ({ name }) => {
      linking ||= name === 'link';
      if (linking) throw systemError('EIO');
    };
  }

  /** An image that somebody else gives the name. */
  async function writeElsewhere(image: string, memory: typeof before): Promise<Stamp> {
    const elsewhere = join(await folder(), 'image');
    await writeWhole(elsewhere, memory);
    await rename(elsewhere, image);
    return lstat(image, { bigint: true });
  }

  /** Gives a sidecar another record that is as whole. */
  async function rewriteRecord(
    sidecar: string,
    change: (record: Record<string, unknown>) => object,
  ): Promise<void> {
    const whole = await readFile(sidecar);
    const footer = whole.length - 48;
    const [bitmapsLength, jsonLength] = [
      whole.readUInt32BE(footer + 8),
      whole.readUInt32BE(footer + 12),
    ];
    const bitmaps = whole.subarray(footer - jsonLength - bitmapsLength, footer - jsonLength);
    const json = Buffer.from(
      JSON.stringify(change(JSON.parse(whole.subarray(footer - jsonLength, footer).toString()))),
    );
    const end = Buffer.from(whole.subarray(footer, footer + 16));
    end.writeUInt32BE(json.length, 12);
    const hash = createHash('sha256').update(bitmaps).update(json).digest();
    await writeFile(
      sidecar,
      Buffer.concat([whole.subarray(0, footer - jsonLength), json, end, hash]),
    );
  }

  test('where there is nothing to finish', async () => {
    const where = await folder();
    expect(await finishImageUpdate(join(where, 'image'))).toBeUndefined();
    await expect(finishImageUpdate(join(where, 'none', 'image'))).rejects.toMatchObject({
      code: 'ERR_IO',
    });
  });

  test('an image of another name', async () => {
    const { where, image } = await leftovers();
    expect(await finishImageUpdate(join(where, 'other'))).toBeUndefined();
    expect(await finishImageUpdate(image)).toBeDefined();
  });

  test('leaves alone what took the name meanwhile', async () => {
    const { where, image } = await leftovers();
    await writeElsewhere(image, shorter);
    expect(await finishImageUpdate(image)).toBeUndefined();
    expect(await whichIs(image, { shorter })).toBe('shorter');
    expect(await hiddenIn(where)).toEqual(['.image', '.update']);
  });

  test('brings back nothing that a later image has superseded', async () => {
    const { where, image } = await leftovers();
    await writeWhole(image, shorter);
    expect(await hiddenIn(where)).toEqual([]);
    await rm(image);
    expect(await finishImageUpdate(image)).toBeUndefined();
  });

  test('brings back nothing that a later update has superseded', async () => {
    const { where, image } = await leftovers();
    const stamp = await writeElsewhere(image, before);
    await updateImage(image, stamp, before, shorter);
    expect(await hiddenIn(where)).toEqual([]);
  });

  test.each([
    ['the later of two', -1],
    ['the later of two after the clock was put back', 1],
  ])('takes %s', async (_what, earlier) => {
    const { where, image, sidecar } = await leftovers();
    const stamp = await writeElsewhere(image, before);
    const committing = updateWatched(image, stamp, shorter, failFromLink());
    await expect(committing).rejects.toMatchObject({ code: 'ERR_IO' });
    expect(await hiddenIn(where)).toEqual(['.image', '.image', '.update', '.update']);
    const at = Date.now() / 1000 + earlier * 3600;
    await utimes(sidecar, at, at);
    await finishImageUpdate(image);
    expect(await whichIs(image, { longer, shorter })).toBe('shorter');
    // What came before is of no use any more: it must not be brought back when the name is free
    // again.
    expect(await hiddenIn(where)).toEqual([]);
  });

  test('two of which nothing tells the later are left alone', async () => {
    const first = await leftovers();
    const second = await leftovers(shorter);
    for (const name of await readdir(second.where))
      await rename(join(second.where, name), join(first.where, name));
    await expect(finishImageUpdate(first.image)).rejects.toMatchObject({
      code: 'ERR_IMAGE',
      message: expect.stringContaining(first.sidecar),
    });
    expect(await hiddenIn(first.where)).toEqual(['.image', '.image', '.update', '.update']);
  });

  test('a record of version 1, and a hidden name as it was then', async () => {
    const { where, image, aside, sidecar } = await leftovers();
    await rewriteRecord(sidecar, (record) => {
      const { ordinal: _ordinal, ...rest } = record;
      return { ...rest, version: 1 };
    });
    await rename(aside, join(where, '.multifd-4711-0123456789ab.image'));
    await rename(sidecar, join(where, '.multifd-4711-0123456789ab.update'));
    expect(await finishImageUpdate(image)).toBeDefined();
    expect(await whichIs(image, { longer })).toBe('longer');
  });

  test('a record of a version that is not known', async () => {
    const { where, image, sidecar } = await leftovers();
    await rewriteRecord(sidecar, (record) => ({ ...record, version: 3 }));
    expect(await finishImageUpdate(image)).toBeUndefined();
    expect(await hiddenIn(where)).toEqual(['.image', '.update']);
  });

  test('a sidecar whose record is not whole, at any byte of its end', async () => {
    const { where, image, sidecar } = await leftovers();
    const whole = await readFile(sidecar);
    const record = whole.length - whole.lastIndexOf('{"version":2,') + 2 * 8;
    for (let back = 1; back <= record; back += 5) {
      await patch(sidecar, whole.length - back, Uint8Array.of(whole.at(-back)! ^ 0x10));
      expect(await finishImageUpdate(image), `${back} bytes before the end`).toBeUndefined();
      await truncate(sidecar, whole.length - back);
      expect(await finishImageUpdate(image), `${back} bytes cut off`).toBeUndefined();
      await patch(sidecar, whole.length - back, whole.subarray(-back));
    }
    expect(await hiddenIn(where)).toEqual(['.image', '.update']);
    expect(await finishImageUpdate(image)).toBeDefined();
    expect(await whichIs(image, { longer })).toBe('longer');
  });
});
