import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BlockSource, Guest, receive, send } from 'multifd';
import { expect, test } from 'vitest';
import { PAGE, withFolder } from '../../support/migration.ts';
import { Random, SEED } from '../../support/random.ts';

const random = new Random(SEED);
const PAGES = 700;

/** Pages of which about a third are zero. */
function content(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(PAGES * PAGE);
  for (let page = 0; page < PAGES; page++)
    if (!random.chance(1 / 3)) bytes.set(random.bytes(PAGE), page * PAGE);
  return bytes;
}

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes.length);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}

test(`memories of every kind without multifd, seed ${SEED}`, () =>
  withFolder(async (folder) => {
    const [one, two, three, four] = [content(), content(), content(), content()];
    const path = join(folder, 'file');
    await writeFile(path, three);
    const sources: Record<string, BlockSource> = {
      memory: one,
      shared: shared(two),
      file: { path },
      pages: {
        byteLength: four.length,
        read: (offset, into) => void into.set(four.subarray(offset, offset + into.length)),
      },
    };
    const targets = new Map(Object.keys(sources).map((id) => [id, content()]));
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      blocks: Object.fromEntries(targets),
    });
    const blocks = Object.entries(sources).map(([id, source]) => ({ id, source }));
    const sent = await send({ uri: incoming.uri, blocks, multifd: false });
    await incoming.completed;
    const bytes = { memory: one, shared: two, file: three, pages: four };
    for (const [id, expected] of Object.entries(bytes))
      expect(Buffer.compare(targets.get(id)!, expected)).toBe(0);
    expect(sent.ram.remaining).toBe(0);
    expect(sent.ram['multifd-bytes']).toBe(0);
    expect(sent.channels).toEqual([]);
    expect(sent.confirmed).toBe(true);
  }));

test('a guest without multifd', async () => {
  const source = content();
  const memory = new Uint8Array(source);
  const target = content();
  const incoming = await receive({
    uri: 'tcp:127.0.0.1:0',
    blocks: { ram: target },
  });
  const guest = new Guest({ blocks: [{ id: 'ram', memory }], stop() {}, resume() {} });
  await guest.migrate({ uri: incoming.uri, multifd: false });
  await incoming.completed;
  expect(Buffer.compare(target, source)).toBe(0);
});
