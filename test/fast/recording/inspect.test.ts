import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectRecording, readRecordingTail } from 'multifd';
import { describe, expect, test } from 'vitest';
import { errorOf, withFolder } from '../../support/migration.ts';
import { Random } from '../../support/random.ts';
import {
  concat,
  devicePacket,
  initialPacket,
  patched,
  ramHeader,
  ramPacket,
  syncPacket,
  ZLIB,
  ZSTD,
} from '../../support/wire.ts';
import { copyOf, messages, writeRecording } from '../../support/recording.ts';

const PAGE = 4096;

/** What is said of a recording. */
function report(sent: { main: Uint8Array[]; channels: Uint8Array[][] }) {
  return withFolder(async (folder) =>
    inspectRecording(await writeRecording(join(folder, 'rec'), sent)),
  );
}

/**
 * The small migration with these packets on channel 0, in its first round after the one for the
 * set-up.
 */
function withPackets(...packets: Uint8Array[]): { main: Uint8Array[]; channels: Uint8Array[][] } {
  const { main, channels } = messages();
  return {
    main,
    channels: [
      [initialPacket(0), syncPacket(), ...packets, syncPacket(), syncPacket()],
      channels[1]!,
    ],
  };
}

test('a small migration, by hand', async () => {
  expect(await report(messages())).toMatchObject({
    machine: 'none',
    capabilities: [],
    uuid: null,
    'page-size': PAGE,
    compression: 'none',
    'return-path': true,
    answered: null,
    'sync-mode': 'per-round',
    'ram-sections': 3,
    syncs: 3,
    'total-time': null,
    'precopy-bytes': concat(...messages().main).length,
    transferred: concat(...messages().main, ...messages().channels.flat()).length,
    blocks: [
      {
        id: 'ram',
        'used-length': 16 * PAGE,
        normal: 4,
        duplicate: 1,
        'main-normal': 0,
        'main-duplicate': 1,
        rounds: 2,
      },
    ],
    channels: [
      {
        id: 0,
        bytes: concat(...messages().channels[0]!).length,
        packets: 6,
        syncs: 3,
        normal: 3,
        duplicate: 1,
        'device-state': 0,
      },
      {
        id: 1,
        bytes: concat(...messages().channels[1]!).length,
        packets: 4,
        syncs: 3,
        normal: 1,
        duplicate: 0,
        'device-state': 0,
      },
    ],
    sections: [],
    'tail-bytes': 1,
    problem: null,
  });
});

test('device state counts as packets', async () => {
  const { channels, problem } = await report(
    withPackets(
      devicePacket('vfio', 3, new Uint8Array(100_000)),
      devicePacket('vfio', 3, new Uint8Array(7)),
    ),
  );
  expect({ problem, count: channels[0]!.deviceState, packets: channels[0]!.packets }).toEqual({
    problem: null,
    count: 2,
    packets: 5,
  });
});

describe('broken off', () => {
  /**
   * Every prefix of the main channel and of each other channel: at the messages' ends, and in the
   * middle of each.
   */
  const { main, channels } = messages();
  const files = [main, ...channels];

  test('at any place, what is there is reported, and that it is not whole', async () => {
    await withFolder(async (folder) => {
      const path = await writeRecording(join(folder, 'rec'), messages());
      const whole = await inspectRecording(path);
      for (const [index, parts] of files.entries()) {
        const file = join(path, index === 0 ? 'main' : `channel-${index - 1}`);
        const content = await readFile(file);
        let cuts = 0;
        for (let at = 0, part = 0; part < parts.length; at += parts[part++]!.length) {
          for (const cut of new Set([
            at,
            at + 1,
            at + (parts[part]!.length >> 1),
            at + parts[part]!.length - 1,
          ])) {
            if (cut === content.length) continue;
            cuts++;
            await writeFile(file, content.subarray(0, cut));
            // Without its configuration it is no main channel at all.
            if (index === 0 && cut <= main[0]!.length) {
              expect(await errorOf(inspectRecording(path)), `main ${cut}`).toMatchObject({
                code: 'ERR_PEER_CLOSED',
              });
              continue;
            }
            const found = await inspectRecording(path);
            expect(found.problem, `${file} ${cut}`).toMatchObject({
              code: 'ERR_PEER_CLOSED',
              channel: index === 0 ? 'main' : index - 1,
            });
            expect(found.bytes).toBe(whole.bytes - content.length + cut);
            expect(
              found.channels.every((channel, id) => channel.packets <= whole.channels[id]!.packets),
            ).toBe(true);
          }
        }
        expect(cuts).toBeGreaterThan(parts.length);
        await writeFile(file, content);
      }
      expect(await inspectRecording(path)).toEqual(whole);
    });
  });

  test('a recording of QEMU, at random places', async () => {
    await withFolder(async (folder) => {
      const path = await copyOf('qemu-7.2-microvm-zlib', join(folder, 'rec'));
      const random = new Random(72);
      for (let i = 0; i < 60; i++) {
        const name = ['main', 'channel-0', 'channel-1'][i % 3]!;
        const content = await readFile(join(path, name));
        const cut = random.below(content.length);
        await truncate(join(path, name), cut);
        const problem = await inspectRecording(path).then(
          (found) => found.problem?.code,
          (error: { code: string }) => error.code,
        );
        expect(problem, `${name} ${cut}`).toBe('ERR_PEER_CLOSED');
        if (name === 'main')
          expect(await errorOf(readRecordingTail(path))).toMatchObject({ code: 'ERR_PEER_CLOSED' });
        await writeFile(join(path, name), content);
      }
    });
  });

  test('changed at random, it is reported or refused, and never worse', async () => {
    await withFolder(async (folder) => {
      const path = await copyOf('qemu-7.2-microvm-zlib', join(folder, 'rec'));
      const random = new Random(9);
      for (let i = 0; i < 150; i++) {
        const name = ['main', 'channel-0', 'channel-1', 'return-path', 'main.times'][i % 5]!;
        const content = await readFile(join(path, name));
        const changed = Buffer.from(content);
        for (let n = 0; n < 4; n++)
          changed[random.below(Math.min(changed.length, 6000))] = random.below(256);
        await writeFile(join(path, name), changed);
        const outcome = await inspectRecording(path).then(
          () => 'ERR_NONE',
          (error: { code?: string }) => error.code,
        );
        expect(outcome).toMatch(/^ERR_(?!INTERNAL)/);
        await writeFile(join(path, name), content);
      }
    });
  });
});

describe('wrong packets', () => {
  const normal = ramPacket({ block: 'ram', normal: [0] }, new Uint8Array(PAGE));
  const zlibHeader = ramHeader({ block: 'ram', flags: ZLIB, normal: [0], size: 10 });

  test.each<[string, Uint8Array[], string]>([
    ['no magic', [patched(normal, 0, Uint8Array.of(9))], 'ERR_MAGIC'],
    ['an unknown block', [ramHeader({ block: 'rom', zero: [0] })], 'ERR_BLOCK'],
    [
      'a page outside its block',
      [ramHeader({ block: 'ram', zero: [16 * PAGE] })],
      'ERR_PAGE_OFFSET',
    ],
    [
      'more pages than a packet holds',
      [patched(normal, 16, Uint8Array.of(0, 0, 1, 0))],
      'ERR_PACKET',
    ],
    [
      'sums of pages that wrap around',
      [patched(normal, 32, Uint8Array.of(0xff, 0xff, 0xff, 0xff))],
      'ERR_PACKET',
    ],
    ['another page size', [patched(normal, 12, Uint8Array.of(0, 0, 0, 64))], 'ERR_PACKET'],
    ['two compressions', [normal, concat(zlibHeader, new Uint8Array(10))], 'ERR_COMPRESSION'],
    [
      'a compression that nobody has',
      [ramHeader({ block: 'ram', flags: 3 << 1, normal: [0], size: 10 })],
      'ERR_COMPRESSION',
    ],
    [
      'a payload longer than its pages',
      [ramHeader({ block: 'ram', flags: ZSTD, normal: [0], size: 0xffff_ffff })],
      'ERR_PAYLOAD',
    ],
    ['device state of no length', [devicePacket('vfio', 0, new Uint8Array(0))], 'ERR_PAYLOAD'],
    [
      'device state longer than the file',
      [devicePacket('vfio', 0, new Uint8Array(1), 2 ** 31 - 1)],
      'ERR_PEER_CLOSED',
    ],
  ])('%s', async (_, packets, code) => {
    const { problem, channels } = await report(withPackets(...packets));
    expect(problem).toMatchObject({ code, channel: 0, packet: packets.length });
    expect(channels[0]).toMatchObject({ packets: packets.length });
    expect(channels[1]).toMatchObject({ packets: 4 }); // the other one is right
  });

  test('a channel under another one’s name', async () => {
    const { main, channels } = messages();
    expect(await report({ main, channels: [channels[1]!, channels[0]!] })).toMatchObject({
      problem: { code: 'ERR_CHANNEL_ID', channel: 0 },
    });
  });

  test('a channel of another VM', async () => {
    const { main, channels } = messages();
    const other = [initialPacket(1, new Uint8Array(16).fill(1)), ...channels[1]!.slice(1)];
    expect(await report({ main, channels: [channels[0]!, other] })).toMatchObject({
      problem: { code: 'ERR_UUID', channel: 1 },
    });
  });

  test('something behind the end', async () => {
    await withFolder(async (folder) => {
      const path = await copyOf('qemu-7.2-pc', join(folder, 'rec'));
      await appendFile(join(path, 'main'), 'more');
      expect(await inspectRecording(path)).toMatchObject({
        problem: { code: 'ERR_STREAM', message: expect.stringContaining('4 bytes') },
      });
    });
  });
});
