import { appendFileSync, existsSync, linkSync, renameSync } from 'node:fs';
import {
  appendFile,
  link,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { receive } from 'multifd';
import {
  countBits,
  extractBlock,
  ImageUpdate,
  inspectImage,
  type Stamp,
} from '../../../src/image/index.ts';
import { Random, SEED } from '../../support/random.ts';
import { watchOperations } from '../../support/file-operations.ts';
import { CONFIGURATION, folder, PAGE } from '../../support/image.ts';
import {
  bitmapsOf,
  changesOf,
  fillUpdate,
  hiddenIn,
  later,
  type Memory,
  openUpdate,
  randomMemory,
  randomTail,
  shapesOf,
  updateImage,
  whichIs,
  writeWhole,
} from '../../support/image-update.ts';

let where: string;
let image: string;
beforeEach(async () => {
  where = await folder();
  image = join(where, 'image');
});

describe(`an image that was updated, seed ${SEED}`, () => {
  const random = new Random(SEED);

  test.each([0, 12345])(
    'again and again is like one written whole, at offset %i',
    async (offset) => {
      const whole = join(where, 'whole');
      let before = randomMemory(random, [700, 1, 65, 300]);
      await writeFile(image, Buffer.alloc(offset, 'x'));
      let stamp = await writeWhole(image, before, { offset, force: true });
      const { ino } = await stat(image);
      for (const share of [0.01, 0, 1, 0.3, 0.05]) {
        const after = later(random, before, share);
        stamp = await updateImage(image, stamp, before, after, { offset, random });
        expect(await whichIs(image, { before, after }, offset)).toBe('after');

        await writeWhole(whole, after, { offset, force: true });
        // Sizes on the disk differ: what was present once keeps its room.
        const {
          sizeOnDisk: _,
          'size-on-disk': __,
          ...report
        } = await inspectImage(image, { offset });
        expect(await inspectImage(whole, { offset })).toMatchObject(report);
        expect((await readFile(image)).subarray(0, offset).every((byte) => byte === 0x78)).toBe(
          true,
        );
        before = after;
      }
      await extractBlock(image, 'block0', join(where, 'out'), { offset });
      expect(Buffer.compare(await readFile(join(where, 'out')), before.blocks[0]!.content)).toBe(0);
      expect(await stat(image)).toMatchObject({ ino, mode: 0o100600 });
      expect(await hiddenIn(where)).toEqual([]);
    },
  );

  test('is loaded into memory', async () => {
    const before = randomMemory(random, [300, 40]);
    const after = later(random, before, 0.2);
    await updateImage(image, await writeWhole(image, before), before, after);
    const targets = Object.fromEntries(
      after.blocks.map(({ id, content }) => [id, new Uint8Array(content.length)]),
    );
    const incoming = await receive({ uri: `file:${image}`, blocks: targets });
    await incoming.completed;
    for (const { id, content } of after.blocks)
      expect(Buffer.compare(targets[id]!, content), id).toBe(0);
  });

  test('in runs longer than any buffer', async () => {
    const dense = (): Memory => {
      const content = new Uint8Array(900 * PAGE);
      for (let at = 0; at < content.length; at += PAGE) content[at] = 1 + random.below(255);
      return { blocks: [{ id: 'dense', content }], tail: randomTail(random) };
    };
    const [before, after] = [dense(), dense()];
    const stamp = await writeWhole(image, before);
    const update = (await openUpdate(image, stamp, after))!;
    const changed = bitmapsOf(after);
    fillUpdate(update, after, changed);
    await update.commit({ changed, bitmaps: changed, tail: after.tail });
    expect(await whichIs(image, { before, after })).toBe('after');
  });

  test('was written only where there is something new', async () => {
    const before = { ...randomMemory(random, [10_000]), tail: randomTail(random, 100) };
    const after = { ...later(random, before, 0.004), tail: randomTail(random, 100) };
    after.blocks[0]!.content.fill(0, 0, 100 * PAGE);
    const stamp = await writeWhole(image, before);
    const update = (await openUpdate(image, stamp, after))!;
    const changed = changesOf(before, after);
    const bitmaps = bitmapsOf(after);
    fillUpdate(update, after, changed);
    const pages = countBits(changed[0]!.map((byte, index) => byte & bitmaps[0]![index]!));
    expect(pages).toBeGreaterThan(5);
    const sidecar = (await readdir(where)).find((name) => name.endsWith('.update'))!;
    expect((await stat(join(where, sidecar))).blocks * 512).toBeLessThan((pages + 8) * PAGE);

    let written = 0;
    const end = await watchOperations(({ length }) => void (written += length));
    await update.commit({ changed, bitmaps, tail: after.tail }).finally(end);
    expect(await whichIs(image, { after })).toBe('after');
    // Bitmaps and tail go into the sidecar and into the image, and the record has a bitmap once
    // more.
    const around = 3 * changed[0]!.length + 2 * after.tail.length + 512;
    expect(written).toBeLessThan(pages * PAGE + around);
  });

  test('says which pages it has before', async () => {
    const memory = randomMemory(random, [100, 64]);
    const update = (await openUpdate(image, await writeWhole(image, memory), memory))!;
    expect(update.bitmaps()).toEqual(bitmapsOf(memory));
    await update.discard();
  });
});

describe('an image is not updated', () => {
  const random = new Random(SEED);
  const memory = randomMemory(random, [20, 3]);
  let stamp: Stamp;
  beforeEach(async () => {
    stamp = await writeWhole(image, memory);
  });
  const refused = async (
    what: Partial<Parameters<typeof ImageUpdate.open>[1]> = {},
  ): Promise<void> => {
    const names = await readdir(where);
    expect(
      await ImageUpdate.open(image, {
        stamp,
        configuration: CONFIGURATION,
        blocks: shapesOf(memory),
        pageSize: PAGE,
        ...what,
      }),
    ).toBeUndefined();
    expect(await readdir(where)).toEqual(names);
  };

  test('that is not there', async () => {
    await unlink(image);
    await refused();
  });

  test.each<[string, () => Promise<unknown>]>([
    ['written to', () => appendFile(image, 'x')],
    ['touched', () => utimes(image, 0, 0)],
    ['given a second name', () => link(image, join(where, 'second'))],
    ['replaced by one like it', () => writeWhole(image, memory, { force: true })],
    [
      'made a link',
      async () => {
        await rename(image, join(where, 'elsewhere'));
        await symlink('elsewhere', image);
      },
    ],
  ])('that was %s', async (_what, change) => {
    await change();
    await refused();
  });

  test.each<[string, Partial<Parameters<typeof ImageUpdate.open>[1]>]>([
    ['another machine', { configuration: { ...CONFIGURATION, machine: 'other' } }],
    ['a uuid', { configuration: { ...CONFIGURATION, uuid: new Uint8Array(16) } }],
    [
      'a longer block',
      {
        blocks: shapesOf(memory).map(({ id, usedLength }) => ({
          id,
          usedLength: usedLength + PAGE,
        })),
      },
    ],
    ['a block less', { blocks: shapesOf(memory).slice(0, 1) }],
    [
      'other names',
      {
        blocks: shapesOf(memory).map(({ usedLength }, index) => ({
          id: `other${index}`,
          usedLength,
        })),
      },
    ],
    [
      'another page size',
      { pageSize: 2 * PAGE, blocks: [{ id: 'block0', usedLength: 20 * PAGE }] },
    ],
    ['another offset', { offset: 4096 }],
  ])('for %s', (_what, change) => refused(change));

  test('of the same shape once it is another file with the old times', async () => {
    const other = join(where, 'other');
    await writeWhole(other, memory);
    await rename(other, image);
    await utimes(image, Number(stamp.mtimeNs) / 1e9, Number(stamp.mtimeNs) / 1e9);
    await refused();
  });
});

describe('an update that does not come to its end', () => {
  const random = new Random(SEED);
  const before = randomMemory(random, [50, 3]);
  const after = later(random, before, 0.4);
  const changed = changesOf(before, after);
  const content = { changed, bitmaps: bitmapsOf(after), tail: after.tail };
  let stamp: Stamp;
  let update: ImageUpdate;
  beforeEach(async () => {
    stamp = await writeWhole(image, before);
    update = (await openUpdate(image, stamp, after))!;
    fillUpdate(update, after, changed);
  });
  const untouched = async (): Promise<void> => {
    expect(await whichIs(image, { before, after })).toBe('before');
    expect(await hiddenIn(where)).toEqual([]);
  };

  test('because it is discarded, twice', async () => {
    await update.discard();
    await update.discard();
    await untouched();
    expect((await stat(image, { bigint: true })).mtimeNs).toBe(stamp.mtimeNs);
    await expect(update.commit(content)).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    await untouched();
  });

  test.each<[string, Partial<typeof content>]>([
    ['no tail', { tail: new Uint8Array(0) }],
    ['a bitmap missing', { bitmaps: content.bitmaps.slice(1) }],
    [
      'a bitmap too long',
      {
        changed: content.changed.map((bitmap) => new Uint8Array([...bitmap, ...new Uint8Array(8)])),
      },
    ],
    ['bits past the end', { changed: content.changed.map((bitmap) => bitmap.map(() => 255)) }],
    [
      'a page that came from nowhere',
      { changed: content.changed.map((bitmap) => bitmap.map(() => 0)) },
    ],
  ])('because of %s', async (_what, wrong) => {
    await expect(update.commit({ ...content, ...wrong })).rejects.toMatchObject({
      code: 'ERR_INTERNAL',
    });
    await untouched();
  });

  test('because another was faster', async () => {
    const other = later(random, before, 0.1);
    await updateImage(image, stamp, before, other);
    await expect(update.commit(content)).rejects.toMatchObject({
      code: 'ERR_EXISTS',
      message: expect.stringContaining(image),
    });
    expect(await whichIs(image, { before, after, other })).toBe('other');
    expect(await hiddenIn(where)).toEqual([]);
  });

  test('because another runs beside it', async () => {
    const other = later(random, before, 0.1);
    const outcomes = await Promise.allSettled([
      update.commit(content),
      updateImage(image, stamp, before, other),
    ]);
    const done = ['after', 'other'].filter((_, index) => outcomes[index]!.status === 'fulfilled');
    expect(done).toHaveLength(1);
    expect(
      await whichIs(image, { before, after, ['other' as string]: other } as Record<string, Memory>),
    ).toBe(done[0]);
    expect(await hiddenIn(where)).toEqual([]);
  });

  test('because the image is gone', async () => {
    await unlink(image);
    await expect(update.commit(content)).rejects.toMatchObject({ code: 'ERR_IO' });
    expect(await readdir(where)).toEqual([]);
  });

  test('because the folder is gone', async () => {
    await rm(where, { recursive: true });
    await expect(update.commit(content)).rejects.toMatchObject({ code: 'ERR_IO' });
  });

  test('because the image is replaced in the last moment', async () => {
    const other = later(random, before, 0.1);
    const ready = join(where, 'ready');
    await writeWhole(ready, other);
    const end = await watchOperations(({ name }) => {
      if (name === 'rename') renameSync(ready, image);
    });
    await expect(update.commit(content).finally(end)).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    expect(await whichIs(image, { before, after, other })).toBe('other');
    expect(await hiddenIn(where)).toEqual([]);
  });

  test('because the image got a second name meanwhile', async () => {
    const second = join(where, 'second');
    const end = await watchOperations(({ name }) => {
      if (name === 'sync' && !existsSync(second)) linkSync(image, second);
    });
    await expect(update.commit(content).finally(end)).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    expect(await whichIs(second, { before, after })).toBe('before');
    await untouched();
  });

  test('because a longer file got the name in the last moment, which keeps its length', async () => {
    const end = await watchOperations(({ name }) => {
      if (name === 'rename') appendFileSync(image, Buffer.alloc(100_000, 1));
    });
    await expect(update.commit(content).finally(end)).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    expect((await stat(image)).size).toBe(Number(stamp.size) + 100_000);
    expect(await hiddenIn(where)).toEqual([]);
  });

  test("whose hidden file is its owner's alone", async () => {
    const name = (await readdir(where)).find((one) => one.endsWith('.update'))!;
    expect((await stat(join(where, name))).mode & 0o777).toBe(0o600);
    await update.discard();
  });
});
