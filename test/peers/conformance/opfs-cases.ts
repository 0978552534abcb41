import {
  type ImageStore,
  inspectImage,
  openImage,
  opfsImage,
  type OpfsFolder,
  send,
} from 'multifd';
import type { Io } from './capabilities.ts';
import { equal, fails, sameBytes } from './check.ts';
import { STREAMS } from './endpoints.ts';
import { bytesOf, pairOf } from './memory.ts';

/** What the cases need of a folder; not every program's types have its iterator. */
type Folder = OpfsFolder & { keys(): AsyncIterable<string> };

/** Images in the browser's own file system, in this thread. @returns the names of what was tried. */
export async function opfsCases(): Promise<string[]> {
  const root = await navigator.storage.getDirectory();
  const tried: string[] = [];
  for (const [name, run] of Object.entries(CASES)) {
    const unique = `case-${crypto.randomUUID()}`;
    const folder = await root.getDirectoryHandle(unique, { create: true });
    try {
      await run(folder as unknown as Folder);
      tried.push(name);
    } catch (error) {
      const { code = '', message, stack } = error as Error & { code?: string };
      throw new Error(`${name}: ${code} ${message}\n${stack}`);
    } finally {
      await root.removeEntry(unique, { recursive: true });
    }
  }
  return tried;
}

const CASES: Record<string, (folder: Folder) => Promise<void>> = {
  'an image is written, read and sent from there': writtenAndRead,
  'one that is there is replaced only if that is asked for': replaced,
  'a migration that fails leaves none, or the one before': failed,
  'two that write the same one': twoWriters,
};

const NONE = {} as Io;

/** A memory, of which every third page is zero. */
function source(kind: 'shared' | 'unshared' = 'unshared'): WebAssembly.Memory {
  const { source: memory } = pairOf(kind);
  for (let at = 0; at < memory.buffer.byteLength; at += 3 * 4096)
    bytesOf(memory).fill(0, at, at + 4096);
  return memory;
}

async function store(memory: WebAssembly.Memory, image: ImageStore): Promise<void> {
  const { incoming, to } = await STREAMS.open({ image }, NONE);
  const ends = [send({ ...to, blocks: [{ id: 'heap', source: memory }] }), incoming.completed];
  const outcomes = await Promise.allSettled(ends);
  // The store is the target's: what goes wrong with it is told there.
  const [, received] = outcomes;
  if (received!.status === 'rejected') throw received!.reason;
}

async function namesIn(folder: Folder): Promise<string[]> {
  const names: string[] = [];
  for await (const name of folder.keys()) names.push(name);
  return names.sort();
}

async function expectHolds(
  folder: Folder,
  name: string,
  memory: WebAssembly.Memory,
): Promise<void> {
  const handle = await folder.getFileHandle(name);
  const image = await openImage(handle);
  const bytes = bytesOf(memory);
  const [block] = image.blocks;
  equal([block!.id, block!.usedLength], ['heap', bytes.length], 'the block');
  const bitmap = await image.readBitmap(block!);
  const content = new Uint8Array(bytes.length);
  for (let page = 0; page * image.pageSize < bytes.length; page++)
    if ((bitmap[page >> 3]! & (1 << (page & 7))) !== 0)
      await image.readPages(
        block!,
        page * image.pageSize,
        content.subarray(page * image.pageSize, (page + 1) * image.pageSize),
      );
  sameBytes(content, bytes, 'what is in the image');
  await image.verify();
  await image.close();
}

async function writtenAndRead(folder: Folder): Promise<void> {
  const kinds = (['unshared', 'shared'] as const).filter(
    (kind) => kind === 'unshared' || typeof SharedArrayBuffer !== 'undefined',
  );
  for (const kind of kinds) {
    const memory = source(kind);
    await store(memory, opfsImage(folder, kind));
    await expectHolds(folder, kind, memory);
    const handle = await folder.getFileHandle(kind);
    const { totals } = await inspectImage(handle);
    equal(totals.pages, memory.buffer.byteLength / 4096, 'pages');
    equal(totals.zero > 0 && totals.present > 0, true, 'both kinds of pages');

    const target = new Uint8Array(memory.buffer.byteLength).fill(0xee);
    const { incoming, to } = await STREAMS.open({ blocks: { heap: target } }, NONE);
    await Promise.all([send({ ...to, image: handle }), incoming.completed]);
    sameBytes(target, bytesOf(memory), 'what was sent from the image');
  }
  equal(await namesIn(folder), [...kinds].sort(), 'what is in the folder');
}

async function replaced(folder: Folder): Promise<void> {
  const [first, second] = [source(), source()];
  bytesOf(second).fill(0x5a, 4096, 8192);
  await store(first, opfsImage(folder, 'image'));
  await fails(store(second, opfsImage(folder, 'image')), 'ERR_EXISTS', 'a second one');
  await expectHolds(folder, 'image', first);
  await store(second, opfsImage(folder, 'image', { force: true }));
  await expectHolds(folder, 'image', second);
  equal(await namesIn(folder), ['image'], 'what is in the folder');
}

async function failed(folder: Folder): Promise<void> {
  const before = source();
  await store(before, opfsImage(folder, 'old'));
  for (const name of ['old', 'new']) {
    const image = opfsImage(folder, name, { force: true });
    // It is cancelled once it has begun to be written.
    const stop = new AbortController();
    const cancelling: ImageStore = {
      begin: async (plan) => {
        const sinks = await image.begin(plan);
        return sinks.map(({ write, zero }) => ({
          write: async (offset, pages) => {
            await write(offset, pages);
            stop.abort();
          },
          zero,
        }));
      },
      commit: (tail) => image.commit(tail),
      discard: () => image.discard(),
    };
    const { incoming, to } = await STREAMS.open({ image: cancelling, signal: stop.signal }, NONE);
    const blocks = [{ id: 'heap', source: source() }];
    await Promise.all([
      fails(incoming.completed, 'ERR_CANCELLED', 'the target'),
      send({ ...to, blocks, maxBandwidth: 1_000_000 }).catch(() => {}),
    ]);
  }
  await expectHolds(folder, 'old', before);
  equal(await namesIn(folder), ['old'], 'what is in the folder');
}

async function twoWriters(folder: Folder): Promise<void> {
  const memory = source();
  const first = opfsImage(folder, 'image');
  const during: ImageStore = {
    begin: (plan) => first.begin(plan),
    async commit(tail) {
      const other = store(source(), opfsImage(folder, 'image'));
      await fails(other, 'ERR_IO', 'another one at the same time');
      await first.commit(tail);
    },
    discard: () => first.discard(),
  };
  await store(memory, during);
  await expectHolds(folder, 'image', memory);
  equal(await namesIn(folder), ['image'], 'what is in the folder');
  const badName = store(memory, opfsImage(folder, 'no/name'));
  await fails(badName, 'ERR_IO', 'a name that none can have');
}
