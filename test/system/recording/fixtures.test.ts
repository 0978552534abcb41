import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Compression,
  extractBlock,
  inspectImage,
  inspectRecording,
  readRecordingTail,
  receive,
  record,
  replay,
} from 'multifd';
import { describe, expect, test } from 'vitest';
import { guestProblem } from '../../support/firmware-guest.ts';
import { leavingNothing, withFolder } from '../../support/migration.ts';
import { KNOWN } from '../../support/known-recordings.ts';
import { bytesIn, fixture } from '../../support/recording.ts';

describe.each(Object.entries(KNOWN))('%s', (name, known) => {
  const path = fixture(name);

  test('inspecting it gives what is known of it', async () => {
    const { sections, ...report } = await leavingNothing(() => inspectRecording(path));
    expect(report).toMatchObject(known);
    expect(sections!.map(({ idstr }) => idstr)).toEqual(
      expect.arrayContaining(['timer', 'cpu', 'apic', 'globalstate']),
    );
  });

  test('what follows the RAM is the end of the main channel', async () => {
    const tail = await readRecordingTail(path);
    expect(tail.length).toBe(known['tail-bytes']);
    expect(Buffer.compare(tail, (await bytesIn(path, 'main')).subarray(-tail.length))).toBe(0);
  });

  test('replayed into an image, it is the guest at one moment', async () => {
    await withFolder(async (folder) => {
      const image = join(folder, 'image');
      const incoming = await receive({
        uri: `unix:${folder}/socket`,
        image,
        channels: known.channels.length,
        compression: known.compression as Compression,
        ...(known.uuid !== null && { uuid: known.uuid }),
      });
      const sent = await replay({ path, uri: incoming.uri });
      expect(sent).toMatchObject({
        transferred: known.transferred,
        total: known.transferred,
        'precopy-bytes': known['precopy-bytes'],
      });
      const { ram, channels, blocks } = await incoming.completed;
      const count = (
        ...keys: ('normal' | 'duplicate' | 'main-normal' | 'main-duplicate')[]
      ): number =>
        known.blocks.reduce(
          (sum, block) => sum + keys.reduce((part, key) => part + block[key], 0),
          0,
        );
      expect({
        normal: ram.normal,
        duplicate: ram.duplicate,
        syncs: ram['dirty-sync-count'],
      }).toEqual({
        normal: count('normal', 'main-normal'),
        duplicate: count('duplicate', 'main-duplicate'),
        syncs: known.syncs,
      });
      expect(channels.map(({ bytes, packets }) => ({ bytes, packets }))).toEqual(
        known.channels.map(({ bytes, packets }) => ({ bytes, packets })),
      );
      const [block] = blocks;
      await extractBlock(image, block!.id, join(folder, 'ram'));
      expect(guestProblem(await readFile(join(folder, 'ram')))).toBeUndefined();
      expect((await inspectImage(image)).sections).toEqual((await inspectRecording(path)).sections);
    });
  });

  test('recorded from its replay, it is the same, byte for byte', async () => {
    await withFolder(async (folder) => {
      const copy = join(folder, 'copy');
      const incoming = await leavingNothing(async () => {
        const started = await record({ uri: `unix:${folder}/socket`, path: copy });
        await Promise.all([replay({ path, uri: started.uri }), started.completed]);
        return started;
      });
      expect(await incoming.completed).toMatchObject({
        transferred: known.transferred,
        channels: known.channels.map(({ id, bytes }) => ({ id, bytes })),
      });
      expect((await readdir(copy)).sort()).toEqual((await readdir(path)).sort());
      for (const file of await readdir(path)) {
        if (!file.endsWith('.times'))
          expect(Buffer.compare(await bytesIn(copy, file), await bytesIn(path, file)), file).toBe(
            0,
          );
      }
      expect(await inspectRecording(copy)).toEqual({
        ...(await inspectRecording(path)),
        'total-time': expect.any(Number),
        duration: expect.any(Number),
      });
    });
  });
});

test('replayed in its own time, it takes as long as it took, and its bytes come when they came', async () => {
  await withFolder(async (folder) => {
    const path = fixture('qemu-7.2-microvm-zlib');
    const copy = join(folder, 'copy');
    const incoming = await record({ uri: 'tcp:127.0.0.1:0', path: copy });
    await replay({ path, uri: incoming.uri, timing: true });
    await incoming.completed;
    const { 'total-time': duration } = await inspectRecording(copy);
    // The two clocks start a little apart.
    expect(duration).toBeGreaterThanOrEqual(KNOWN['qemu-7.2-microvm-zlib']!['total-time']! - 60);
    const lines = async (of: string): Promise<number[][]> =>
      (await readFile(join(of, 'main.times'), 'utf8'))
        .trim()
        .split('\n')
        .map((line) => line.split(' ').map(Number));
    const kept = await lines(copy);
    for (const [milliseconds, bytes] of await lines(path)) {
      const early = kept.filter(([at]) => at! < milliseconds! - 60).at(-1)?.[1] ?? 0;
      expect(early).toBeLessThan(bytes!);
    }
  });
});

test('the fixtures stay small', async () => {
  let bytes = 0;
  for (const name of Object.keys(KNOWN)) {
    for (const file of await readdir(fixture(name)))
      for await (const chunk of createReadStream(join(fixture(name), file)))
        bytes += (chunk as Buffer).length;
  }
  expect(bytes).toBeLessThan(2 ** 20);
});
