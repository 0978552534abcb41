import { writeSync } from 'node:fs';
import { open, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  extractBlock,
  ImageUpdate,
  ImageWriter,
  inspectImage,
  openImage,
  runsOf,
  type Stamp,
} from '../../../src/image/index.ts';
import { Random, SEED } from '../../support/random.ts';
import { Qemu, qemuAvailable } from '../../support/qemu.ts';
import { folder, PAGE, patch } from '../../support/image.ts';

const MEMORY = 64 * 1024 * 1024;

/** QEMU with its RAM in a file, which then shows what the machine has. */
async function startMachine(machine: string, ram: string, ...args: string[]): Promise<Qemu> {
  const backend = `memory-backend-file,id=pc.ram,size=${MEMORY},mem-path=${ram},share=on`;
  const qemu = await Qemu.start({
    machine: `${machine},memory-backend=pc.ram`,
    args: ['-object', backend, ...args],
  });
  onTestFinished(() => qemu.stop());
  return qemu;
}

/** A file for RAM, all zero but some pages from 1 MiB on, where no firmware is. */
async function prepareRam(path: string): Promise<void> {
  const random = new Random(SEED);
  await (await open(path, 'w')).close();
  await truncate(path, MEMORY);
  for (let page = 256; page < MEMORY / PAGE; page += 1 + random.below(40)) {
    await patch(path, page * PAGE + random.below(PAGE), Uint8Array.of(1 + random.below(255)));
  }
}

/** The image a QEMU of this machine type writes of its RAM. */
async function recordImage(machine: string, ram: string, uri: string): Promise<void> {
  const source = await startMachine(machine, ram);
  await source.capabilities('multifd', 'mapped-ram');
  await source.command('migrate', { uri });
  expect(await source.migrationEnd()).toBe('completed');
  await source.stop();
}

/** Copies an image by way of ImageReader and ImageWriter. */
async function rewrite(from: string, to: string, offset: number): Promise<Stamp> {
  const image = await openImage(from);
  const writer = await ImageWriter.create(to, { offset });
  try {
    const plan = await writer.begin(image.configuration, image.blocks, image.pageSize);
    const bitmaps: Uint8Array[] = [];
    for (const [index, block] of image.blocks.entries()) {
      const bitmap = await image.readBitmap(block);
      for (const { start, end } of runsOf(bitmap, block.usedLength / PAGE)) {
        const pages = new Uint8Array((end - start) * PAGE);
        await image.readPages(block, start * PAGE, pages);
        writeSync(
          writer.fd,
          pages,
          0,
          pages.length,
          plan.blocks[index]!.pagesOffset + start * PAGE,
        );
      }
      bitmaps.push(bitmap);
    }
    await writer.writeBitmaps(bitmaps);
    await writer.appendTail(await image.readTail());
    return await writer.commit();
  } finally {
    await writer.discard();
    await image.close();
  }
}

/**
 * Updates `to`, which is like the image `from`, with the given pages of the RAM as they are now.
 */
async function updateRam(
  from: string,
  to: string,
  stamp: Stamp,
  ram: Uint8Array,
  pages: readonly number[],
): Promise<void> {
  const image = await openImage(from);
  try {
    const { configuration, blocks, pageSize } = image;
    const update = (await ImageUpdate.open(to, { stamp, configuration, blocks, pageSize }))!;
    const index = blocks.findIndex(({ id }) => id === 'pc.ram');
    const bitmaps = update.bitmaps();
    const changed = bitmaps.map((bitmap) => new Uint8Array(bitmap.length));
    for (const page of pages) {
      const content = ram.subarray(page * PAGE, (page + 1) * PAGE);
      const present = content.some((byte) => byte !== 0);
      if (present)
        writeSync(
          update.fd,
          content,
          0,
          PAGE,
          update.plan.blocks[index]!.pagesOffset + page * PAGE,
        );
      const bit = 1 << (page & 7);
      changed[index]![page >> 3]! |= bit;
      bitmaps[index]![page >> 3]! = (bitmaps[index]![page >> 3]! & ~bit) | (present ? bit : 0);
    }
    await update.commit({ changed, bitmaps, tail: await image.readTail() });
  } finally {
    await image.close();
  }
}

describe.skipIf(!qemuAvailable())(`a real QEMU's image, SEED ${SEED}`, () => {
  test.each([
    ['pc', 0],
    ['pc', 12345],
    ['pc-i440fx-7.2', 0],
  ])('of %s at offset %i is read exactly', async (machine, offset) => {
    const where = await folder();
    const [image, ram, out] = [join(where, 'image'), join(where, 'ram'), join(where, 'out')];
    await prepareRam(ram);
    await recordImage(machine, ram, `file:${image}${offset === 0 ? '' : `,offset=${offset}`}`);

    const report = await inspectImage(image, { offset });
    expect(report.machine).toMatch(machine === 'pc' ? /^pc-i440fx-\d+\.\d+$/ : machine);
    expect(report.blocks.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['pc.ram', 'pc.bios', '/rom@etc/acpi/tables']),
    );
    expect(report.totals.present).toBeGreaterThan(100);
    const sections = report.sections ?? [];
    expect(sections.length).toBeGreaterThan(20);
    expect(sections).toContainEqual(
      expect.objectContaining({ idstr: 'globalstate', 'instance-id': 0, version: 1, size: 104 }),
    );
    expect(sections).toContainEqual(
      expect.objectContaining({ idstr: 'timer', 'instance-id': 0, version: 2, size: 24 }),
    );

    await extractBlock(image, 'pc.ram', out, { offset });
    expect(Buffer.compare(await readFile(out), await readFile(ram))).toBe(0);
  });

  test.each([0, 5 * 1024 * 1024 + 77])(
    'written again at offset %i is loaded by QEMU',
    async (offset) => {
      const where = await folder();
      const [image, ram, again, loaded] = [
        join(where, 'image'),
        join(where, 'ram'),
        join(where, 'again'),
        join(where, 'loaded'),
      ];
      await prepareRam(ram);
      await recordImage('pc', ram, `file:${image}`);
      await rewrite(image, again, offset);

      const target = await startMachine('pc', loaded, '-incoming', 'defer');
      await target.capabilities('multifd', 'mapped-ram');
      await target.command('migrate-incoming', { uri: `file:${again},offset=${offset}` });
      expect(await target.migrationEnd(), target.stderr).toBe('completed');
      expect(await target.command('query-status')).toMatchObject({ status: 'prelaunch' });
      expect(Buffer.compare(await readFile(loaded), await readFile(ram))).toBe(0);
    },
  );

  test('updated with the RAM of another moment is loaded by QEMU', async () => {
    const where = await folder();
    const [image, ram, again, loaded] = [
      join(where, 'image'),
      join(where, 'ram'),
      join(where, 'again'),
      join(where, 'loaded'),
    ];
    await prepareRam(ram);
    await recordImage('pc', ram, `file:${image}`);
    const stamp = await rewrite(image, again, 0);

    const random = new Random(SEED + 1);
    const later = await readFile(ram);
    const written = Array.from({ length: 500 }, () => 256 + random.below(MEMORY / PAGE - 256));
    for (const page of written) {
      if (random.chance(0.3)) later.fill(0, page * PAGE, (page + 1) * PAGE);
      else later[page * PAGE + random.below(PAGE)] = 1 + random.below(255);
    }
    await updateRam(image, again, stamp, later, written);

    const target = await startMachine('pc', loaded, '-incoming', 'defer');
    await target.capabilities('multifd', 'mapped-ram');
    await target.command('migrate-incoming', { uri: `file:${again}` });
    expect(await target.migrationEnd(), target.stderr).toBe('completed');
    expect(Buffer.compare(await readFile(loaded), later)).toBe(0);
  });
});
