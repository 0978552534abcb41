import { execFileSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { extractBlock, inspectImage, receive, send } from 'multifd';
import { describe, expect, onTestFinished, test } from 'vitest';
import { inspectDevices } from '../../../src/image/index.ts';
import { coverage } from '../../support/devices.ts';
import { listeningUri } from '../../support/listening-uri.ts';
import {
  type Architecture,
  Qemu,
  QEMU_VERSIONS,
  qemuAvailable,
  type QemuVersion,
} from '../../support/qemu.ts';
import { testFolder } from './support.ts';
import { entry } from './table.ts';

/**
 * Machines that have no guest of ours: their processors are stopped from the start, and their RAM
 * has content all the same.
 */

const MIB = 2 ** 20;

interface Row {
  row: string;
  architecture: Architecture;
  machine: string;
  /** MiB. */
  memory: number;
  /** Bytes of a page, as QEMU says it in query-migrate. */
  pageSize: number;
  /** Its machine types have a version behind the name. */
  versioned?: true;
  /** QEMU 10.0 takes what 7.2 has left: not so the CPUs of Arm and POWER, whoever sends them. */
  carried?: true;
  /** 7.2's description of the devices has no sizes that hold: of an array with pointers to none. */
  undescribed?: true;
  versions: readonly QemuVersion[];
}

const ROWS: readonly Row[] = [
  {
    row: 'pseries, big-endian',
    architecture: 'ppc64',
    machine: 'pseries',
    memory: 256,
    pageSize: 4096,
    versioned: true,
    versions: QEMU_VERSIONS,
  },
  {
    row: 's390x, big-endian',
    architecture: 's390x',
    machine: 's390-ccw-virtio',
    memory: 32,
    pageSize: 4096,
    versioned: true,
    carried: true,
    undescribed: true,
    versions: QEMU_VERSIONS,
  },
  {
    row: '32-bit Arm',
    architecture: 'arm',
    machine: 'virt',
    memory: 32,
    pageSize: 4096,
    versioned: true,
    versions: QEMU_VERSIONS,
  },
  {
    row: '32-bit Arm, pages of 1 KiB',
    architecture: 'arm',
    machine: 'xilinx-zynq-a9',
    memory: 32,
    pageSize: 1024,
    versions: QEMU_VERSIONS,
  },
  // QEMU 7.2 can not migrate these.
  {
    row: 'alpha, pages of 8 KiB',
    architecture: 'alpha',
    machine: 'clipper',
    memory: 32,
    pageSize: 8192,
    versions: ['11.1', '10.0'],
  },
  {
    row: 'sparc64, pages of 8 KiB',
    architecture: 'sparc64',
    machine: 'sun4u',
    memory: 32,
    pageSize: 8192,
    versions: ['11.1', '10.0'],
  },
];

/** A VM of this kind that does not run, with its RAM in a file. */
async function start(
  { architecture, machine, memory, versioned }: Row,
  { version, type = version, ram }: { version: QemuVersion; type?: QemuVersion; ram: string },
  ...args: string[]
): Promise<Qemu> {
  const qemu = await Qemu.start({
    version,
    architecture,
    machine: `${machine}${versioned ? `-${type}` : ''},memory-backend=ram`,
    memory,
    args: [
      '-object',
      `memory-backend-file,id=ram,size=${memory}M,share=on,mem-path=${ram}`,
      ...args,
    ],
  });
  onTestFinished(() => qemu.stop());
  return qemu;
}

/**
 * The begin of the RAM: zero in places, with content that tells the others apart, whatever the size
 * of a page.
 */
function content(): Buffer {
  const bytes = Buffer.alloc(32 * MIB);
  for (let at = 0; at < bytes.length; at += 1024) {
    const [part, eight] = [at / 1024, Math.floor(at / 8192)];
    if (part % 5 !== 0 && eight % 3 !== 0) bytes.fill(`part ${part} `, at, at + 1024);
  }
  return bytes;
}

async function capture(row: Row, version: QemuVersion, folder: string): Promise<string> {
  const image = join(folder, 'vm.img');
  const ram = join(folder, 'source.ram');
  writeFileSync(ram, content());
  truncateSync(ram, row.memory * MIB);
  const source = await start(row, { version, ram });
  await source.capabilities('multifd', 'return-path');
  await source.command('migrate-set-parameters', { 'max-bandwidth': 0 });
  const incoming = await receive({ uri: `unix:${join(folder, 'incoming')}`, image });
  await source.command('migrate', { uri: incoming.uri });
  const captured = await incoming.completed;
  expect(await source.migrationEnd()).toBe('completed');
  const theirs = (await source.command('query-migrate')) as { ram: { 'page-size': number } };
  expect(theirs.ram['page-size']).toBe(row.pageSize);
  expect(captured.ram['page-size']).toBe(row.pageSize);
  await expectImage(row, version, image, folder);
  return image;
}

/** A file that QEMU itself saves, which bears the order of bytes of the host, not of the machine. */
async function save(row: Row, version: QemuVersion, folder: string): Promise<string> {
  const image = join(folder, 'own.img');
  const ram = join(folder, 'source.ram');
  const source = await start(row, { version, ram });
  await source.capabilities('mapped-ram');
  await source.command('migrate', { uri: `file:${image}` });
  expect(await source.migrationEnd()).toBe('completed');
  await expectImage(row, version, image, folder);
  return image;
}

/** It has the RAM of the source, and devices of which each byte is told. */
async function expectImage(
  row: Row,
  version: QemuVersion,
  image: string,
  folder: string,
): Promise<void> {
  const extracted = join(folder, 'extracted');
  await extractBlock(image, 'ram', extracted, { force: true });
  execFileSync('cmp', [extracted, join(folder, 'source.ram')]);
  const report = await inspectImage(image);
  expect(report['page-size']).toBe(row.pageSize);
  const devices = await inspectDevices(image);
  if (version === '7.2' && row.undescribed) {
    expect(devices).toBeNull();
    return;
  }
  expect(devices?.map(({ idstr }) => idstr)).toContain('cpu');
  for (const device of devices!) expect(coverage(device), device.idstr).toBe(device.size);
}

/** QEMU loads by itself what was captured. */
async function load(
  row: Row,
  version: QemuVersion,
  type: QemuVersion,
  image: string,
  folder: string,
): Promise<void> {
  const ram = join(folder, 'loaded.ram');
  const loader = await start(row, { version, type, ram }, '-incoming', 'defer');
  await loader.capabilities('multifd', 'mapped-ram');
  await loader.command('migrate-incoming', { uri: `file:${image}` });
  expect(await loader.migrationEnd(), loader.stderr).toBe('completed');
  execFileSync('cmp', [ram, join(folder, 'source.ram')]);
}

async function replay(
  row: Row,
  version: QemuVersion,
  image: string,
  folder: string,
): Promise<void> {
  const ram = join(folder, 'target.ram');
  const target = await start(row, { version, ram }, '-incoming', 'defer');
  // Without a version a machine type is taken for one of 8.1 or newer, in how channels are synced.
  const multifd = row.versioned === true || version !== '7.2';
  await target.capabilities('return-path', ...(multifd ? ['multifd'] : []));
  await target.command('migrate-incoming', { uri: 'tcp:127.0.0.1:0' });
  await send({ uri: listeningUri(await target.command('query-migrate')), image, multifd });
  expect(await target.migrationEnd()).toBe('completed');
  execFileSync('cmp', [ram, join(folder, 'source.ram')]);
}

describe.for(ROWS)('$row', (row) => {
  const { architecture, machine, carried } = row;
  const how = `machine type ${machine}, stopped`;
  const available = row.versions.every((version) => qemuAvailable(version, architecture));

  test.skipIf(!available).for(row.versions)('QEMU %s', async (version, context) => {
    const folder = await testFolder();
    const old = version === '7.2'; // which loads no files
    const loader = old ? (carried ? '10.0' : undefined) : version;
    const image = await entry(
      context,
      {
        row: row.row,
        how,
        architecture,
        direction: 'capture',
        version,
        ...(loader !== undefined && { loader }),
      },
      async () => {
        const image = await capture(row, version, folder);
        if (loader !== undefined) await load(row, loader, version, image, folder);
        return image;
      },
    );
    await entry(context, { row: row.row, how, architecture, direction: 'replay', version }, () =>
      replay(row, version, image!, folder),
    );
    if (old) return;
    const saved = { row: `mapped-ram file, ${row.row}`, how: `saved by QEMU, ${how}` };
    await entry(context, { ...saved, architecture, direction: 'replay', version }, async () =>
      replay(row, version, await save(row, version, folder), folder),
    );
  });
});
