import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readRecordingTail, receive, replay, send } from 'multifd';
import { Random } from '../../support/random.ts';
import { PAGE } from './grammar.ts';

/** What inputs are made of: images and recordings that are right. Each is made once. */

/** Where the recordings of real QEMUs are; the bundles are in `build/faults`. */
const FIXTURES = fileURLToPath(new URL('../../test/fixtures/recordings/', import.meta.url));

export const RECORDINGS = [
  'qemu-10.0-pc',
  'qemu-10.0-microvm-zlib',
  'qemu-10.0-pc-7.2-zstd',
  'qemu-7.2-pc',
  'qemu-7.2-microvm-zlib',
] as const;

export const fixture = (name: (typeof RECORDINGS)[number]): string => join(FIXTURES, name);

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'multifd-faults-base-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface Base {
  bytes: Buffer;
  /** What the blocks hold, where that is known. */
  blocks: Map<string, Uint8Array>;
}

/** Memory with zero pages in it. */
export function someMemory(random: Random, pages: number): Uint8Array {
  const memory = new Uint8Array(pages * PAGE);
  for (let page = 0; page < pages; page++) {
    if (random.chance(0.6)) memory.set(random.bytes(PAGE), page * PAGE);
  }
  return memory;
}

/** An image of two blocks, with device state. */
export const memoryImage = once(() =>
  inFolder(async (folder): Promise<Base> => {
    const random = new Random(1);
    const blocks = new Map([
      ['heap', someMemory(random, 30)],
      ['stack', someMemory(random, 3)],
    ]);
    const path = join(folder, 'image');
    await send({
      uri: `file:${path}`,
      inline: true,
      blocks: [...blocks].map(([id, source]) => ({ id, source })),
      deviceState: [{ idstr: 'state', instanceId: 0, data: random.bytes(500) }],
    });
    return { bytes: await readFile(path), blocks };
  }),
);

/** An image of a PC, with its device sections and their description. */
export const pcImage = once(() =>
  inFolder(async (folder): Promise<Base> => {
    const path = join(folder, 'image');
    const uri = `unix:${folder}/s`;
    const incoming = await receive({ uri, image: path, inline: true });
    await replay({ path: fixture('qemu-7.2-pc'), uri });
    await incoming.completed;
    return { bytes: await readFile(path), blocks: new Map() };
  }),
);

/** What follows the RAM in each of the recordings. */
export const tails = once(() =>
  Promise.all(RECORDINGS.map((name) => readRecordingTail(fixture(name)))),
);
