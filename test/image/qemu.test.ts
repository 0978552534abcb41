import { writeSync } from 'node:fs';
import { open, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { extractBlock, ImageWriter, inspectImage, openImage, runsOf } from '../../src/image/index.ts';
import { seeded } from '../stream/support.ts';
import { Qemu, qemuAvailable } from '../support/qemu.ts';
import { folder, PAGE, patch } from './support.ts';

const MEMORY = 64 * 1024 * 1024;

/** QEMU with its RAM in a file, which then shows what the machine has. */
async function startMachine(machine: string, ram: string, ...args: string[]): Promise<Qemu> {
  const backend = `memory-backend-file,id=pc.ram,size=${MEMORY},mem-path=${ram},share=on`;
  const qemu = await Qemu.start({ machine: `${machine},memory-backend=pc.ram`, args: ['-object', backend, ...args] });
  onTestFinished(() => qemu.stop());
  return qemu;
}

/** A file for RAM, all zero but some pages from 1 MiB on, where no firmware is. */
async function prepareRam(path: string, seed: number): Promise<void> {
  const random = seeded(seed);
  await (await open(path, 'w')).close();
  await truncate(path, MEMORY);
  for (let page = 256; page < MEMORY / PAGE; page += 1 + Math.floor(random() * 40)) {
    await patch(path, page * PAGE + Math.floor(random() * PAGE), Uint8Array.of(1 + Math.floor(random() * 255)));
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
async function rewrite(from: string, to: string, offset: number): Promise<void> {
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
        writeSync(writer.fd, pages, 0, pages.length, plan.blocks[index]!.pagesOffset + start * PAGE);
      }
      bitmaps.push(bitmap);
    }
    await writer.writeBitmaps(bitmaps);
    await writer.appendTail(await image.readTail());
    await writer.commit();
  } finally {
    await writer.discard();
    await image.close();
  }
}

describe.skipIf(!qemuAvailable())("a real QEMU's image", () => {
  test.each([
    ['pc', 0],
    ['pc', 12345],
    ['pc-i440fx-7.2', 0],
  ])('of %s at offset %i is read exactly', async (machine, offset) => {
    const where = await folder();
    const [image, ram, out] = [join(where, 'image'), join(where, 'ram'), join(where, 'out')];
    const seed = Math.floor(Math.random() * 2 ** 31);
    await prepareRam(ram, seed);
    await recordImage(machine, ram, `file:${image}${offset === 0 ? '' : `,offset=${offset}`}`);

    const report = await inspectImage(image, { offset });
    expect(report.machine).toMatch(machine === 'pc' ? /^pc-i440fx-\d+\.\d+$/ : machine);
    expect(report.blocks.map(({ id }) => id)).toEqual(expect.arrayContaining(['pc.ram', 'pc.bios', '/rom@etc/acpi/tables']));
    expect(report.totals.present).toBeGreaterThan(100);
    const sections = report.sections ?? [];
    expect(sections.length).toBeGreaterThan(20);
    expect(sections).toContainEqual({ idstr: 'globalstate', instanceId: 0, version: 1, size: 104 });
    expect(sections).toContainEqual({ idstr: 'timer', instanceId: 0, version: 2, size: 24 });

    await extractBlock(image, 'pc.ram', out, { offset });
    expect(Buffer.compare(await readFile(out), await readFile(ram)), `seed ${seed}`).toBe(0);
  });

  test.each([0, 5 * 1024 * 1024 + 77])('written again at offset %i is loaded by QEMU', async (offset) => {
    const where = await folder();
    const [image, ram, again, loaded] = [join(where, 'image'), join(where, 'ram'), join(where, 'again'), join(where, 'loaded')];
    const seed = Math.floor(Math.random() * 2 ** 31);
    await prepareRam(ram, seed);
    await recordImage('pc', ram, `file:${image}`);
    await rewrite(image, again, offset);

    const target = await startMachine('pc', loaded, '-incoming', 'defer');
    await target.capabilities('multifd', 'mapped-ram');
    await target.command('migrate-incoming', { uri: `file:${again},offset=${offset}` });
    expect(await target.migrationEnd(), target.stderr).toBe('completed');
    expect(await target.command('query-status')).toMatchObject({ status: 'prelaunch' });
    expect(Buffer.compare(await readFile(loaded), await readFile(ram)), `seed ${seed}`).toBe(0);
  });
});
