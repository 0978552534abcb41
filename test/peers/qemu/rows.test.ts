import { join } from 'node:path';
import { receive, send } from 'multifd';
import { describe, expect, test, type TestContext } from 'vitest';
import {
  type Architecture,
  QEMU_VERSIONS,
  qemuAvailable,
  type QemuVersion,
} from '../../support/qemu.ts';
import { Machine, type MachineOptions } from './machine.ts';
import { ACROSS, ROWS, type Row } from './rows.ts';
import { expectSame } from './same.ts';
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
    test.for(ROWS.filter(({ versions }) => versions.includes(version)))(
      '$name',
      { timeout: 120_000 },
      (row, context) => both(context, row, version, version),
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
  const { name, how, architecture } = row;
  const loader = loaderOf(row, from, to);
  const image = await entry(
    context,
    {
      row: name,
      how,
      architecture,
      direction: 'capture',
      version: from,
      ...(loader !== undefined && { loader }),
    },
    () => capture(row, from, loader, folder),
  );
  // Without a version a machine type is taken for one of 8.1 or newer, in how channels are synced.
  const multifd = row.multifd && (to !== '7.2' || machineOf(row, to).includes('-'));
  await entry(
    context,
    { row: name, how, architecture, direction: 'replay', version: to },
    async () => {
      if (image === undefined) throw new Impossible(context.task.meta.cells![0]!.why!);
      await replay({ ...row, multifd }, to, image, folder);
    },
  );
}

const options = (
  { architecture, machine, memory, reach, cpus, args, marks, anonymous }: Row,
  version: QemuVersion,
): MachineOptions => ({
  version,
  architecture,
  machine,
  memory,
  reach,
  cpus,
  args,
  marks,
  anonymous,
});

/** What both ends have to agree on. */
async function agree(machine: Machine, row: Row, parameters: object): Promise<void> {
  const { multifd, channels, compression, detection, returnPath, postcopy, capabilities } = row;
  await machine.set(
    [
      ...(multifd ? ['multifd'] : []),
      ...(returnPath ? ['return-path'] : []),
      ...(postcopy === 'off' ? [] : ['postcopy-ram']),
      ...capabilities,
    ],
    {
      ...(multifd && { 'multifd-channels': channels, 'multifd-compression': compression }),
      ...(detection !== 'as it is' && { 'zero-page-detection': detection }),
      ...parameters,
    },
  );
}

/** @returns the image. */
async function capture(
  row: Row,
  version: QemuVersion,
  loadedBy: QemuVersion | undefined,
  folder: string,
): Promise<string> {
  const image = join(folder, 'vm.img');
  const source = await Machine.running(folder, 'source', options(row, version));
  await agree(source, row, { 'downtime-limit': 1, 'max-bandwidth': 100e6, ...row.parameters });
  for (const [execute, args] of row.commands) await source.qemu.command(execute, args);
  const incoming = await receive({
    uri: row.address === 'unix' ? `unix:${join(folder, 'incoming')}` : row.address,
    image,
    channels: row.channels,
    compression: row.compression,
    switchoverAck: row.capabilities.includes('switchover-ack'),
  });
  await migrate(source, address(incoming.uri, row.channelList));
  if (row.postcopy === 'used') await source.postcopyAt(row.pass);
  else await source.convergeAt(row.pass);
  const captured = await incoming.completed;
  expect(await source.qemu.migrationEnd()).toBe('completed');
  if (row.multifd) expect(captured.ram['dirty-sync-count']).toBeGreaterThanOrEqual(2);
  await source.expectWhole(row.marks);
  await expectSame(source, row, version, image, folder);
  await source.qemu.stop();

  if (loadedBy === undefined) return image;

  // QEMU loads what this project wrote; newer ones have the machine types of older ones.
  const loader = await Machine.incoming(folder, 'loaded', {
    ...options(row, loadedBy),
    machine: machineOf(row, version),
  });
  const capabilities = row.capabilities.filter((capability) => capability === 'dirty-bitmaps');
  await loader.set(['multifd', 'mapped-ram', ...capabilities], {});
  await loader.qemu.command('migrate-incoming', { uri: `file:${image}` });
  expect(await loader.qemu.migrationEnd()).toBe('completed');
  await row.expectArrived(loader.qemu);
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
    ...(row.multifd && { channels: row.channels }),
    compression: row.compression,
    returnPath: row.returnPath,
    multifd: row.multifd,
    ...(row.postcopy === 'used' && {
      postcopy: true,
      postcopyPreempt: row.capabilities.includes('postcopy-preempt'),
    }),
    switchoverAck: row.capabilities.includes('switchover-ack'),
    ...(row.detection !== 'as it is' && { zeroPageDetection: row.detection }),
    ...('max-bandwidth' in row.parameters && {
      maxBandwidth: Number(row.parameters['max-bandwidth']),
    }),
  });
  expect(sent.ram.remaining).toBe(0);
  expect(await target.qemu.migrationEnd()).toBe('completed');
  await row.expectArrived(target.qemu);
  await target.expectAlive(row.marks);
}

/** What machine types without a version stand for. */
const VERSIONED: Partial<Record<Architecture, Record<string, string>>> = {
  x86_64: { pc: 'pc-i440fx', q35: 'pc-q35' },
  aarch64: { virt: 'virt' },
};

/**
 * The QEMU that loads an image: 7.2 has no such files, and another one's devices are the same only
 * with a machine type that has a version, of a PC (QEMU 10.0 itself does not take the CPU of
 * `virt-7.2` from 7.2).
 */
function loaderOf(row: Row, from: QemuVersion, to: QemuVersion): QemuVersion | undefined {
  const loader = to === '7.2' ? '10.0' : to;
  return loader === from || row.architecture === 'x86_64' ? loader : undefined;
}

/** What the machine type of a row is at a version: all newer ones have it too. */
function machineOf({ architecture, machine }: Row, version: QemuVersion): string {
  const name = VERSIONED[architecture]?.[machine];
  return name === undefined ? machine : `${name}-${version}`;
}

async function migrate(source: Machine, where: object): Promise<void> {
  try {
    await source.qemu.command('migrate', where);
  } catch (error) {
    throw new Impossible((error as Error).message);
  }
}
