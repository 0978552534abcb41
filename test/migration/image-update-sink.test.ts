import { writeSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { receive, type DeviceState } from 'multifd';
import { expect, onTestFinished, test } from 'vitest';
import { ImageUpdate } from '../../src/image/index.ts';
import { imageSink } from '../../src/migration/memory/image-sink.ts';
import { imageUpdateSink } from '../../src/migration/memory/image-update-sink.ts';

const PAGE = 4096;
const CONFIGURATION = { machine: 'none', capabilities: [] };
const BLOCKS = [{ id: 'heap', usedLength: 16 * PAGE }];
const word = (bits: number): Uint8Array => Uint8Array.of(bits, 0, 0, 0, 0, 0, 0, 0);
const stateOf = (text: string): DeviceState[] => [{ idstr: 'program', instanceId: 0, data: Buffer.from(text) }];

async function image(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'multifd-update-sink-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'image');
}

/** Page 0 full of ones, page 1 of twos. */
async function snapshot(path: string) {
  const sink = await imageSink({ path, force: false, pageSize: PAGE });
  await sink.configuration(CONFIGURATION);
  const [target] = (await sink.blocks(BLOCKS)) as Array<{ fd: number; position: number }>;
  for (const page of [0, 1]) writeSync(target!.fd, new Uint8Array(PAGE).fill(page + 1), 0, PAGE, target!.position + page * PAGE);
  await sink.tail(Uint8Array.of(0));
  await sink.commit({ deviceState: stateOf('first'), bitmaps: [word(3)] });
  return sink.stamp!;
}

async function load(path: string): Promise<{ firstBytes: number[]; state: string[] }> {
  const heap = new Uint8Array(16 * PAGE).fill(9);
  const state: string[] = [];
  const incoming = await receive({ uri: `file:${path}`, blocks: { heap }, onDeviceState: ({ data }) => void state.push(Buffer.from(data).toString()) });
  await incoming.completed;
  return { firstBytes: [0, 1, 2, 3].map((page) => heap[page * PAGE]!), state };
}

test('a second snapshot writes only what changed, and the state anew', async () => {
  const path = await image();
  let stamp = await snapshot(path);
  for (const round of [1, 2]) {
    const update = (await ImageUpdate.open(path, { stamp, configuration: CONFIGURATION, blocks: BLOCKS, pageSize: PAGE }))!;
    const sink = imageUpdateSink(update);
    await sink.configuration(CONFIGURATION);
    const [target] = (await sink.blocks(BLOCKS)) as Array<{ fd: number; position: number }>;
    writeSync(target!.fd, new Uint8Array(PAGE).fill(10 * round), 0, PAGE, target!.position + 2 * PAGE);
    await sink.tail(Uint8Array.of(0));
    stamp = await sink.commit({ deviceState: stateOf(`round ${round}`), bitmaps: [word(6)], changed: [word(round === 1 ? 5 : 4)] });
    expect(await load(path)).toEqual({ firstBytes: [0, 2, 10 * round, 0], state: [`round ${round}`] });
  }
});

test('one that is discarded, or for other blocks, leaves the first', async () => {
  const path = await image();
  const stamp = await snapshot(path);
  const update = (await ImageUpdate.open(path, { stamp, configuration: CONFIGURATION, blocks: BLOCKS, pageSize: PAGE }))!;
  const sink = imageUpdateSink(update);
  expect(() => sink.blocks([{ id: 'heap', usedLength: 17 * PAGE }])).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
  await sink.discard();
  expect(await readdir(join(path, '..'))).toEqual(['image']);
  expect(await load(path)).toEqual({ firstBytes: [1, 2, 0, 0], state: ['first'] });
});
