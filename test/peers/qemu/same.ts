import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { extractBlock, inspectImage } from 'multifd';
import { expect } from 'vitest';
import type { QemuVersion } from '../../support/qemu.ts';
import type { Machine } from './machine.ts';
import type { Row } from './rows.ts';

/**
 * Every block of the image is what the stopped source has: its RAM, and for the rest what the
 * source itself saves.
 */
export async function expectSame(
  source: Machine,
  { architecture, anonymous, marks, postcopy, reach }: Row,
  version: QemuVersion,
  image: string,
  folder: string,
): Promise<void> {
  const extracted = join(folder, 'extracted');
  await extractBlock(image, 'ram', extracted);
  await source.expectSame(extracted, marks);
  if (version === '7.2') {
    if (architecture !== 'x86_64') return;
    const bios = join(folder, 'bios');
    await source.qemu.command('pmemsave', {
      val: 2 ** 32 - 256 * 1024,
      size: 256 * 1024,
      filename: bios,
    });
    await extractBlock(image, 'pc.bios', extracted, { force: true });
    execFileSync('cmp', [extracted, bios]);
    return;
  }
  // It does not migrate twice from where it is; what is no RAM does not change when it goes on.
  const own = join(folder, 'own.img');
  await source.qemu.command('cont');
  await source.qemu.command('stop');
  await source.qemu.command('migrate-set-parameters', { 'multifd-compression': 'none' });
  const off = ['return-path', 'switchover-ack', 'postcopy-preempt', 'postcopy-ram'];
  await source.qemu.command('migrate-set-capabilities', {
    capabilities: [
      ...off.map((capability) => ({ capability, state: false })),
      { capability: 'mapped-ram', state: true },
    ],
  });
  await source.qemu.command('migrate', { uri: `file:${own}` });
  expect(await source.qemu.migrationEnd()).toBe('completed');
  const { blocks, machine, sections } = await inspectImage(image);
  const saved = await inspectImage(own);
  // After a switch to postcopy a stream has no description of the devices.
  const described = postcopy === 'used' ? null : saved.sections;
  expect({ machine, sections }).toEqual({ machine: saved.machine, sections: described });
  expect(blocks.map(({ id }) => id)).toEqual(saved.blocks.map(({ id }) => id));
  const truth = join(folder, 'truth');
  for (const { id } of blocks.filter(({ id }) => anonymous || id !== 'ram')) {
    await extractBlock(image, id, extracted, { force: true });
    await extractBlock(own, id, truth, { force: true });
    const from = id === 'ram' ? reach * 2 ** 20 : 0;
    execFileSync('cmp', [`--ignore-initial=${from}`, extracted, truth]);
  }
}
