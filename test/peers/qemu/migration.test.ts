import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { placeForQemu } from '../../support/temporary.ts';
import { join } from 'node:path';
import {
  type Compression,
  extractBlock,
  inspectImage,
  receive,
  send,
  type ZeroPageDetection,
} from 'multifd';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Qemu, qemuAvailable } from '../../support/qemu.ts';

/**
 * The real protocol's own end on the other side. Capture: QEMU migrates to `receive`, and the image
 * is checked against the VM's memory, which a memory-backend-file shows as a file. Replay: `send`
 * of that image to a QEMU that starts with empty memory. And QEMU loads the image by itself.
 */

const MIB = 2 ** 20;
const MEMORY = 16;

interface Row {
  machine: string;
  channels: number;
  compression: Compression;
  detection: ZeroPageDetection;
  returnPath: boolean;
  socket: 'tcp' | 'unix';
}

const rows: Row[] = [
  {
    machine: 'pc',
    channels: 2,
    compression: 'none',
    detection: 'multifd',
    returnPath: true,
    socket: 'tcp',
  },
  {
    machine: 'pc',
    channels: 4,
    compression: 'zlib',
    detection: 'multifd',
    returnPath: true,
    socket: 'unix',
  },
  {
    machine: 'pc',
    channels: 2,
    compression: 'zstd',
    detection: 'multifd',
    returnPath: false,
    socket: 'tcp',
  },
  {
    machine: 'q35',
    channels: 16,
    compression: 'none',
    detection: 'none',
    returnPath: true,
    socket: 'tcp',
  },
  {
    machine: 'pc',
    channels: 1,
    compression: 'none',
    detection: 'legacy',
    returnPath: true,
    socket: 'unix',
  },
  // Flushes at the end of each section.
  {
    machine: 'pc-i440fx-7.2',
    channels: 4,
    compression: 'none',
    detection: 'multifd',
    returnPath: true,
    socket: 'tcp',
  },
  {
    machine: 'pc-i440fx-7.2',
    channels: 2,
    compression: 'zlib',
    detection: 'legacy',
    returnPath: false,
    socket: 'unix',
  },
];

const VERSIONS = ['11.1', '10.0'] as const;
const available = VERSIONS.every((version) => qemuAvailable(version));

describe.skipIf(!available).for(VERSIONS)('QEMU %s', (version) => {
  let folder: string;
  const running: Qemu[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(placeForQemu(), 'multifd-test-'));
  });
  afterEach(async () => {
    for (const qemu of running.splice(0)) await qemu.stop();
    await rm(folder, { recursive: true });
  });

  async function start(row: Row, ram: string, ...args: string[]): Promise<Qemu> {
    const backend = `memory-backend-file,id=ram,size=${MEMORY}M,share=on,mem-path=${ram}`;
    const qemu = await Qemu.start({
      version,
      machine: `${row.machine},memory-backend=ram`,
      memory: MEMORY,
      args: ['-object', backend, ...args],
    });
    running.push(qemu);
    return qemu;
  }

  async function agree(
    qemu: Qemu,
    { channels, compression, detection, returnPath }: Row,
  ): Promise<void> {
    await qemu.capabilities('multifd', ...(returnPath ? ['return-path'] : []));
    await qemu.command('migrate-set-parameters', {
      'multifd-channels': channels,
      'multifd-compression': compression,
      'zero-page-detection': detection,
      'max-bandwidth': 0,
    });
  }

  test.each(rows)(
    '$machine, $channels channels, $compression, $detection, return path $returnPath, $socket',
    async (row) => {
      const image = join(folder, 'vm.img');
      const ram = join(folder, 'source.ram');
      const content = guestMemory();
      writeFileSync(ram, content);

      const source = await start(row, ram);
      await agree(source, row);
      const incoming = await receive({
        uri: row.socket === 'tcp' ? 'tcp:127.0.0.1:0' : `unix:${join(folder, 'incoming')}`,
        image,
        channels: row.channels,
        compression: row.compression,
      });
      await source.command('migrate', { uri: incoming.uri });
      const captured = await incoming.completed;
      expect(await source.migrationEnd()).toBe('completed');
      expect(captured.ram.remaining).toBe(0);
      expect(captured.blocks.map(({ id }) => id)).toContain('ram');

      await extractBlock(image, 'ram', join(folder, 'extracted'));
      expect(readFileSync(join(folder, 'extracted')).equals(content)).toBe(true);
      const report = await inspectImage(image);
      expect(report.machine).toMatch(
        row.machine === 'pc-i440fx-7.2' ? /^pc-i440fx-7\.2$/ : /^pc-(i440fx|q35)-1[01]\.\d$/,
      );
      expect(report.sections?.map(({ idstr }) => idstr)).toContain('timer');

      // QEMU loads what this project wrote.
      const loadedRam = join(folder, 'loaded.ram');
      const loader = await start(row, loadedRam, '-incoming', 'defer');
      await loader.capabilities('multifd', 'mapped-ram');
      await loader.command('migrate-incoming', { uri: `file:${image}` });
      expect(await loader.migrationEnd()).toBe('completed');
      expect(readFileSync(loadedRam).equals(content)).toBe(true);

      // QEMU takes what this project sends.
      const replayedRam = join(folder, 'replayed.ram');
      const target = await start(row, replayedRam, '-incoming', 'defer');
      await agree(target, row);
      const uri = `unix:${join(folder, 'target')}`;
      await target.command('migrate-incoming', { uri });
      const sent = await send({
        uri,
        image,
        channels: row.channels,
        compression: row.compression,
        zeroPageDetection: row.detection,
      });
      expect(sent.ram.remaining).toBe(0);
      expect(await target.migrationEnd()).toBe('completed');
      expect(readFileSync(replayedRam).equals(content)).toBe(true);
    },
  );

  test('an image saved by QEMU itself is replayed', async () => {
    const row = rows[0]!;
    const image = join(folder, 'vm.img');
    const ram = join(folder, 'source.ram');
    const content = guestMemory();
    writeFileSync(ram, content);
    const source = await start(row, ram);
    await source.capabilities('multifd', 'mapped-ram');
    await source.command('migrate', { uri: `file:${image}` });
    expect(await source.migrationEnd()).toBe('completed');

    const replayedRam = join(folder, 'replayed.ram');
    const target = await start(row, replayedRam, '-incoming', 'defer');
    await agree(target, row);
    const uri = `unix:${join(folder, 'target')}`;
    await target.command('migrate-incoming', { uri });
    await send({ uri, image });
    expect(await target.migrationEnd()).toBe('completed');
    expect(readFileSync(replayedRam).equals(content)).toBe(true);
  });

  test('another number of channels than QEMU uses is refused, and QEMU goes on', async () => {
    const row = { ...rows[0]!, channels: 4 };
    const source = await start(row, join(folder, 'source.ram'));
    await agree(source, row);
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      image: join(folder, 'vm.img'),
      channels: 2,
    });
    await source.command('migrate', { uri: incoming.uri });
    await expect(incoming.completed).rejects.toMatchObject({ code: 'ERR_CHANNEL_ID' });
    expect(await source.migrationEnd()).toBe('failed');
    expect(await source.command('query-status')).toMatchObject({ status: 'prelaunch' });
  });
});

/** Every third page is zero; the others are filled with what tells them apart. */
function guestMemory(): Buffer {
  const bytes = Buffer.alloc(MEMORY * MIB);
  for (let page = 0; page < bytes.length / 4096; page++) {
    if (page % 3 !== 0) bytes.fill(`page ${page} `, page * 4096, (page + 1) * 4096);
  }
  return bytes;
}
