import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { extractBlock, send } from 'multifd';
import { describe, expect, test } from 'vitest';
import { listeningUri } from '../../support/listening-uri.ts';
import { QEMU_VERSIONS, qemuAvailable, type QemuVersion } from '../../support/qemu.ts';
import { Machine } from './machine.ts';
import { testFolder } from './support.ts';
import { entry, Impossible } from './table.ts';

/** Files that QEMU saves and loads by itself, replayed from here and copied by this project. */

interface Row {
  name: string;
  how?: string;
  /** The guest goes on while it is saved. */
  live: boolean;
  offset: number;
  multifd: boolean;
  directIo: boolean;
  /** QEMU is given the file open, in a set of file descriptors. */
  fdset: boolean;
}

const USUAL: Omit<Row, 'name'> = {
  live: false,
  offset: 0,
  multifd: true,
  directIo: false,
  fdset: false,
};

const row = (name: string, special: Partial<Row>): Row => ({ ...USUAL, name, ...special });

const ROWS: readonly Row[] = [
  row('stopped', {}),
  row('live', { live: true }),
  row('with a file offset, stopped', { offset: 0x1000 }),
  row('with a file offset, live', { live: true, offset: 0x1000 }),
  row('without multifd', { how: '`mapped-ram` alone', multifd: false }),
  row('without multifd, live', { how: '`mapped-ram` alone', live: true, multifd: false }),
  row('direct-io', { how: '`direct-io` on', directIo: true }),
  row('fdset with an offset', {
    how: '`file:/dev/fdset/N,offset=N`',
    offset: 0x20_0000,
    fdset: true,
  }),
];

const HOW = 'saved by QEMU, replayed from here; copied here, loaded by QEMU';

describe.for(QEMU_VERSIONS)('files of QEMU %s', (version) => {
  test.skipIf(!qemuAvailable(version)).for(ROWS)('saved $name', async (row, context) => {
    const folder = await testFolder();
    const saved = join(folder, 'own.img');
    const copy = join(folder, 'copy.img');
    const cell = {
      row: `mapped-ram file, ${row.name}`,
      how: row.how === undefined ? HOW : `${row.how}; ${HOW}`,
      version,
    };
    const replayed = await entry(context, { ...cell, direction: 'replay' }, async () => {
      await save(row, version, folder, saved);
      await replay(row, version, folder, saved);
      return true;
    });
    await entry(context, { ...cell, direction: 'capture' }, async () => {
      if (!replayed) throw new Impossible(context.task.meta.cells![0]!.why!);
      // From QEMU's file, through this project, into another file at the same offset.
      const uri = `file:${copy}${offsetOf(row)}`;
      await send({ uri, image: saved, imageOffset: row.offset });
      await withFile(row, copy, 'r', async (place, files) => {
        const loader = await Machine.incoming(folder, 'loaded', { version, files });
        await set(loader, row, {});
        await loader.qemu.command('migrate-incoming', { uri: place });
        expect(await loader.qemu.migrationEnd(), loader.qemu.stderr).toBe('completed');
        if (!row.live) await loader.qemu.command('cont');
        await loader.expectAlive();
        await loader.qemu.stop();
      });
    });
  });
});

async function save(row: Row, version: QemuVersion, folder: string, saved: string): Promise<void> {
  await withFile(row, saved, 'w', async (uri, files) => {
    const source = await Machine.running(folder, 'source', { version, files });
    if (!row.live) await source.qemu.command('stop');
    await set(source, row, { 'max-bandwidth': 1e12, 'downtime-limit': 60_000 });
    await source.qemu.command('migrate', { uri });
    expect(await source.qemu.migrationEnd()).toBe('completed');
    const extracted = join(folder, 'extracted');
    await extractBlock(saved, 'ram', extracted, { offset: row.offset });
    execFileSync('cmp', [extracted, source.ram]);
    await source.qemu.stop();
  });
}

async function replay(
  row: Row,
  version: QemuVersion,
  folder: string,
  saved: string,
): Promise<void> {
  const target = await Machine.incoming(folder, 'target', { version });
  await target.set(['multifd', 'return-path'], { 'multifd-channels': 2 });
  await target.qemu.command('migrate-incoming', { uri: 'tcp:127.0.0.1:0' });
  await send({
    uri: listeningUri(await target.qemu.command('query-migrate')),
    image: saved,
    imageOffset: row.offset,
  });
  expect(await target.qemu.migrationEnd()).toBe('completed');
  if (!row.live) await target.qemu.command('cont');
  await target.expectAlive();
  await target.qemu.stop();
}

/** The same at both ends of a file. */
async function set(machine: Machine, { multifd, directIo }: Row, more: object): Promise<void> {
  await machine.set(['mapped-ram', ...(multifd ? ['multifd'] : [])], {
    ...(multifd && { 'multifd-channels': 2 }),
    ...(directIo && { 'direct-io': true }),
    ...more,
  });
}

/** Runs `work` with the address of the file for QEMU, and with what QEMU has to be given open. */
async function withFile(
  row: Row,
  path: string,
  mode: 'r' | 'w',
  work: (uri: string, files: readonly number[]) => Promise<void>,
): Promise<void> {
  if (!row.fdset) {
    await work(`file:${path}${offsetOf(row)}`, []);
    return;
  }
  const file = openSync(path, mode);
  try {
    await work(`file:/dev/fdset/0${offsetOf(row)}`, [file]);
  } finally {
    closeSync(file);
  }
}

const offsetOf = ({ offset }: Row): string => (offset === 0 ? '' : `,offset=${offset}`);
