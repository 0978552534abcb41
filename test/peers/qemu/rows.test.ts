import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { extractBlock, inspectImage, receive, send } from 'multifd';
import { describe, expect, test, type TestContext } from 'vitest';
import { QEMU_VERSIONS, qemuAvailable, type QemuVersion } from '../../support/qemu.ts';
import { Machine, type MachineOptions } from './machine.ts';
import { ACROSS, ROWS, type Row } from './rows.ts';
import { listeningUri } from '../../support/listening-uri.ts';
import { address, testFolder } from './support.ts';
import { entry, Impossible } from './table.ts';

/**
 * Capture and replay with a live guest. Capture: QEMU migrates to `receive`; the image's blocks are
 * compared with the stopped source's, and QEMU loads the image by itself and goes on. Replay:
 * `send` of that image to a QEMU, which goes on.
 */

describe.for(QEMU_VERSIONS)('QEMU %s', (version) => {
  describe.skipIf(!QEMU_VERSIONS.every((each) => qemuAvailable(each)))('live guest', () => {
    test.for(ROWS)('$name', { timeout: 120_000 }, (row, context) =>
      both(context, row, version, version),
    );
    test.for(ACROSS.filter(({ from }) => from === version))('$row.name', ({ row, to }, context) =>
      both(context, row, version, to),
    );
  });
});

/** Captures from the one, loads and replays it in the other. */
async function both(
  context: TestContext,
  row: Row,
  from: QemuVersion,
  to: QemuVersion,
): Promise<void> {
  const folder = await testFolder();
  const { name, how } = row;
  const loader = to === '7.2' ? '10.0' : to; // 7.2 has no such files
  const image = await entry(
    context,
    { row: name, how, direction: 'capture', version: from, loader },
    () => capture(row, from, loader, folder),
  );
  await entry(context, { row: name, how, direction: 'replay', version: to }, async () => {
    if (image === undefined) throw new Impossible(context.task.meta.cells![0]!.why!);
    await replay(row, to, image, folder);
  });
}

const options = (
  { machine, memory, reach, cpus, args, marks, anonymous }: Row,
  version: QemuVersion,
): MachineOptions => ({ version, machine, memory, reach, cpus, args, marks, anonymous });

/** What both ends have to agree on. */
async function agree(
  machine: Machine,
  { channels, compression, detection, returnPath, capabilities }: Row,
  parameters: object,
): Promise<void> {
  await machine.set(['multifd', ...(returnPath ? ['return-path'] : []), ...capabilities], {
    'multifd-channels': channels,
    'multifd-compression': compression,
    ...(detection !== 'as it is' && { 'zero-page-detection': detection }),
    ...parameters,
  });
}

/** @returns the image. */
async function capture(
  row: Row,
  version: QemuVersion,
  loadedBy: QemuVersion,
  folder: string,
): Promise<string> {
  const image = join(folder, 'vm.img');
  const source = await Machine.running(folder, 'source', options(row, version));
  await agree(source, row, { 'downtime-limit': 1, 'max-bandwidth': 100e6, ...row.parameters });
  const incoming = await receive({
    uri: row.address === 'unix' ? `unix:${join(folder, 'incoming')}` : row.address,
    image,
    channels: row.channels,
    compression: row.compression,
    switchoverAck: row.capabilities.includes('switchover-ack'),
  });
  await migrate(source, address(incoming.uri, row.channelList));
  await source.convergeAt(row.pass);
  const captured = await incoming.completed;
  expect(await source.qemu.migrationEnd()).toBe('completed');
  expect(captured.ram['dirty-sync-count']).toBeGreaterThanOrEqual(2);
  await source.expectWhole(row.marks);
  await expectSame(source, row, version, image, folder);
  await source.qemu.stop();

  // QEMU loads what this project wrote; newer ones have 7.2's machine types.
  const type =
    version === '7.2' && row.machine === 'pc'
      ? 'pc-i440fx-7.2'
      : version === '7.2' && row.machine === 'q35'
        ? 'pc-q35-7.2'
        : row.machine;
  const loader = await Machine.incoming(folder, 'loaded', {
    ...options(row, loadedBy),
    machine: type,
  });
  await loader.set(['multifd', 'mapped-ram'], {});
  await loader.qemu.command('migrate-incoming', { uri: `file:${image}` });
  expect(await loader.qemu.migrationEnd()).toBe('completed');
  await loader.expectAlive(row.marks);
  await loader.qemu.stop();
  return image;
}

async function replay(
  row: Row,
  version: QemuVersion,
  image: string,
  folder: string,
): Promise<void> {
  const target = await Machine.incoming(folder, 'target', options(row, version));
  await agree(target, row, {});
  const uri = row.address === 'unix' ? `unix:${join(folder, 'target.socket')}` : row.address;
  await target.qemu.command('migrate-incoming', address(uri, row.channelList));
  const sent = await send({
    uri: listeningUri(await target.qemu.command('query-migrate')),
    image,
    channels: row.channels,
    compression: row.compression,
    returnPath: row.returnPath,
    switchoverAck: row.capabilities.includes('switchover-ack'),
    ...(row.detection !== 'as it is' && { zeroPageDetection: row.detection }),
    ...('max-bandwidth' in row.parameters && {
      maxBandwidth: Number(row.parameters['max-bandwidth']),
    }),
  });
  expect(sent.ram.remaining).toBe(0);
  expect(await target.qemu.migrationEnd()).toBe('completed');
  await target.expectAlive(row.marks);
}

async function migrate(source: Machine, where: object): Promise<void> {
  try {
    await source.qemu.command('migrate', where);
  } catch (error) {
    throw new Impossible((error as Error).message);
  }
}

/**
 * Every block of the image is what the stopped source has: its RAM, and for the rest what the
 * source itself saves.
 */
async function expectSame(
  source: Machine,
  { anonymous, marks, reach }: Row,
  version: QemuVersion,
  image: string,
  folder: string,
): Promise<void> {
  const extracted = join(folder, 'extracted');
  await extractBlock(image, 'ram', extracted);
  await source.expectSame(extracted, marks);
  if (version === '7.2') {
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
  const off = ['return-path', 'switchover-ack'].map((capability) => ({ capability, state: false }));
  await source.qemu.command('migrate-set-capabilities', {
    capabilities: [...off, { capability: 'mapped-ram', state: true }],
  });
  await source.qemu.command('migrate', { uri: `file:${own}` });
  expect(await source.qemu.migrationEnd()).toBe('completed');
  const { blocks, machine, sections } = await inspectImage(image);
  const saved = await inspectImage(own);
  expect({ machine, sections }).toEqual({ machine: saved.machine, sections: saved.sections });
  expect(blocks.map(({ id }) => id)).toEqual(saved.blocks.map(({ id }) => id));
  const truth = join(folder, 'truth');
  for (const { id } of blocks.filter(({ id }) => anonymous || id !== 'ram')) {
    await extractBlock(image, id, extracted, { force: true });
    await extractBlock(own, id, truth, { force: true });
    const from = id === 'ram' ? reach * 2 ** 20 : 0;
    execFileSync('cmp', [`--ignore-initial=${from}`, extracted, truth]);
  }
}
