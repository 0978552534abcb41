import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { placeForQemu } from '../../support/temporary.ts';
import { join } from 'node:path';
import { type Compression, inspectRecording, record, replay } from 'multifd';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { errorOf } from '../../support/migration.ts';
import { fixture } from '../../support/recording.ts';
import { guestFirmware, guestProblem } from '../../support/firmware-guest.ts';
import { Qemu, qemuAvailable } from '../../support/qemu.ts';

/**
 * A live guest of a real QEMU is recorded, looked into, and played into another QEMU, whose memory
 * a memory-backend-file shows as a file.
 */

interface Row {
  machine: string;
  channels: number;
  compression: Compression;
  legacy: boolean;
  returnPath: boolean;
  timing: boolean;
}

const rows: Row[] = [
  {
    machine: 'pc',
    channels: 2,
    compression: 'none',
    legacy: false,
    returnPath: true,
    timing: false,
  },
  {
    machine: 'pc',
    channels: 4,
    compression: 'zlib',
    legacy: false,
    returnPath: false,
    timing: false,
  },
  {
    machine: 'q35',
    channels: 2,
    compression: 'zstd',
    legacy: false,
    returnPath: true,
    timing: true,
  },
  {
    machine: 'pc-i440fx-7.2',
    channels: 2,
    compression: 'none',
    legacy: true,
    returnPath: true,
    timing: false,
  },
  {
    machine: 'pc-i440fx-7.2',
    channels: 3,
    compression: 'zlib',
    legacy: false,
    returnPath: false,
    timing: false,
  },
  // Without multifd: all on the main channel.
  {
    machine: 'pc',
    channels: 0,
    compression: 'none',
    legacy: true,
    returnPath: true,
    timing: false,
  },
];

const VERSIONS = ['11.1', '10.0'] as const;
const available = VERSIONS.every((version) => qemuAvailable(version));

describe.skipIf(!available).for(VERSIONS)('QEMU %s', (version) => {
  let folder: string;
  const running: Qemu[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(placeForQemu(), 'multifd-test-'));
    writeFileSync(join(folder, 'firmware'), guestFirmware());
  });
  afterEach(async () => {
    for (const qemu of running.splice(0)) await qemu.stop();
    await rm(folder, { recursive: true });
  });

  async function start(
    { machine, channels, compression, legacy, returnPath }: Row,
    ram: string,
    ...args: string[]
  ): Promise<Qemu> {
    const backend = `memory-backend-file,id=ram,size=2M,share=on,mem-path=${join(folder, ram)}`;
    const qemu = await Qemu.start({
      version,
      machine: `${machine},memory-backend=ram`,
      memory: 2,
      args: ['-object', backend, '-bios', join(folder, 'firmware'), ...args],
    });
    running.push(qemu);
    await qemu.capabilities(
      ...(channels > 0 ? ['multifd'] : []),
      ...(returnPath ? ['return-path'] : []),
    );
    await qemu.command('migrate-set-parameters', {
      ...(channels > 0 && { 'multifd-channels': channels, 'multifd-compression': compression }),
      'zero-page-detection': legacy ? 'legacy' : 'multifd',
      'max-bandwidth': 100 << 10,
      'downtime-limit': 1,
    });
    return qemu;
  }

  /** Migrates a guest that is at work, for some rounds. */
  async function migrate(source: Qemu, uri: string): Promise<void> {
    await source.command('cont');
    const marker = (): Promise<unknown> =>
      source.command('human-monitor-command', { 'command-line': 'xp /1hx 0x30000' });
    while (!String(await marker()).includes('0x55aa'));
    await source.command('migrate', { uri });
    for (;;) {
      const { ram, status } = (await source.command('query-migrate')) as {
        status?: string;
        ram?: { 'dirty-sync-count': number };
      };
      if ((ram?.['dirty-sync-count'] ?? 0) > 3 || status === 'completed' || status === 'failed')
        break;
    }
    await source.command('migrate-set-parameters', { 'downtime-limit': 2000, 'max-bandwidth': 0 });
  }

  test.each(rows)(
    '$machine, $channels channels, $compression, legacy $legacy, return path $returnPath, ' +
      'timing $timing',
    async (row) => {
      const path = join(folder, 'rec');
      const incoming = await record({
        uri: row.timing ? 'tcp:127.0.0.1:0' : `unix:${folder}/record`,
        path,
        channels: row.channels,
      });
      const source = await start(row, 'source.ram');
      await migrate(source, incoming.uri);
      const { transferred } = await incoming.completed;
      expect(await source.migrationEnd()).toBe('completed');
      const ram = readFileSync(join(folder, 'source.ram'));
      expect(guestProblem(ram)).toBeUndefined();

      const report = await inspectRecording(path);
      const { ram: said } = (await source.command('query-migrate')) as {
        ram: Record<string, number>;
      };
      const sum = (key: 'normal' | 'zero' | 'mainNormal' | 'mainZero'): number =>
        report.blocks.reduce((total, block) => total + block[key], 0);
      expect(report).toMatchObject({
        problem: null,
        bytes: transferred,
        returnPath: row.returnPath,
        answered: row.returnPath ? 0 : null,
      });
      expect(report.channels).toHaveLength(row.channels);
      expect(sum('normal') + sum('mainNormal')).toBe(said['normal']);
      expect(sum('zero') + sum('mainZero')).toBe(said['duplicate']);
      expect(report.sections!.map(({ idstr }) => idstr)).toContain('timer');
      if (row.channels > 0) {
        expect(report).toMatchObject({
          compression: row.compression,
          syncMode: row.machine === 'pc-i440fx-7.2' ? 'per-section' : 'per-round',
        });
        expect(new Set(report.channels.map(({ syncs }) => syncs))).toEqual(new Set([report.syncs]));
      }

      const target = await start(row, 'target.ram', '-incoming', 'defer');
      const uri = `unix:${folder}/target`;
      await target.command('migrate-incoming', { uri });
      await replay({ path, uri, timing: row.timing });
      expect(await target.migrationEnd()).toBe('completed');
      expect(readFileSync(join(folder, 'target.ram')).equals(ram)).toBe(true);
    },
  );

  test.each([
    { name: 'qemu-7.2-pc', compression: 'none' },
    { name: 'qemu-10.0-pc-7.2-zstd', compression: 'zstd' },
  ])('the recording $name of the fixtures runs on in this QEMU', async ({ name, compression }) => {
    // The guest's memory has QEMU's own name here: no memory-backend-file.
    const target = await Qemu.start({
      version,
      machine: 'pc-i440fx-7.2',
      memory: 2,
      args: ['-bios', join(folder, 'firmware'), '-incoming', 'defer'],
    });
    running.push(target);
    await target.capabilities('multifd', 'return-path');
    await target.command('migrate-set-parameters', {
      'multifd-channels': 2,
      'multifd-compression': compression,
    });
    const uri = `unix:${folder}/target`;
    await target.command('migrate-incoming', { uri });
    await replay({ path: fixture(name), uri });
    expect(await target.migrationEnd()).toBe('completed');
    const memory = async (): Promise<Buffer> => {
      await target.command('stop');
      await target.command('pmemsave', { val: 0, size: 0xa0000, filename: join(folder, 'memory') });
      return readFileSync(join(folder, 'memory'));
    };
    let after = await memory();
    expect(guestProblem(after)).toBeUndefined();
    // QEMU 7.2 lost the guest's last writes when this was recorded: its processor's count (edx,
    // 48176) is ahead of all pages (40181), and no page came in the last round. So what is in
    // memory fits together again only once the guest has been through all pages: the last word has
    // had two new values.
    const seen = new Set<number>();
    while (seen.size < 3) {
      seen.add(after.readUInt16LE(0x13ffe));
      await target.command('cont');
      after = await memory();
    }
    expect(guestProblem(after)).toBeUndefined();
  });

  test('a migration that is cancelled at the source leaves nothing, or what came of it', async () => {
    for (const keep of [false, true]) {
      const incoming = await record({
        uri: `unix:${folder}/record`,
        path: join(folder, 'rec'),
        keep,
      });
      const source = await start(rows[0]!, `source-${keep}.ram`);
      await source.command('cont');
      await source.command('migrate', { uri: incoming.uri });
      for (;;) {
        const { ram } = (await source.command('query-migrate')) as {
          ram?: { transferred: number };
        };
        if ((ram?.transferred ?? 0) > 20_000) break;
      }
      await source.command('migrate_cancel');
      expect(await errorOf(incoming.completed)).toMatchObject({ code: 'ERR_PEER_CLOSED' });
      expect(
        (await readdir(folder)).filter((name) => name === 'rec' || name.startsWith('.multifd')),
      ).toEqual(keep ? ['rec'] : []);
    }
    const report = await inspectRecording(join(folder, 'rec'));
    expect(report).toMatchObject({
      problem: { code: expect.stringMatching(/^ERR_/) },
      channels: [{ id: 0 }, { id: 1 }],
    });
    expect(report.bytes).toBeGreaterThan(0);
  });

  test('a target of another shape refuses it, and says so', async () => {
    const path = join(folder, 'rec');
    const row = { ...rows[0]!, returnPath: true };
    const incoming = await record({ uri: `unix:${folder}/record`, path });
    const source = await start(row, 'source.ram');
    await migrate(source, incoming.uri);
    await incoming.completed;
    const target = await start({ ...row, machine: 'q35' }, 'target.ram', '-incoming', 'defer');
    await target.command('migrate-incoming', { uri: `unix:${folder}/target` });
    expect(
      await errorOf(replay({ path, uri: `unix:${folder}/target`, timeout: 5000 })),
    ).toMatchObject({ code: expect.stringMatching(/^ERR_(REMOTE|PEER_CLOSED|CONNECT)$/) });
  });
});
