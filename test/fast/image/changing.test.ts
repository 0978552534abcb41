import { appendFileSync, closeSync, openAsBlob, openSync } from 'node:fs';
import { truncateSync, utimesSync, writeSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extractBlock, inspectDevices, inspectImage, isImage, openImage } from 'multifd';
import { receive, send, type RandomAccess } from 'multifd';
import { beforeEach, describe, expect, test } from 'vitest';
import { beforeRead } from '../../support/reads.ts';
import { folder, PAGE, writeImage } from '../../support/image.ts';

const MIB = 1024 * 1024;
/** More pieces than are read at a time. */
const LENGTH = 6 * MIB;
const content = new Uint8Array(LENGTH).fill(1);

let where: string;
let image: string;
let out: string;
beforeEach(async () => {
  where = await folder();
  [image, out] = [join(where, 'image'), join(where, 'out')];
  await writeImage(image, [{ id: 'ram', content }]);
  utimesSync(image, 1_000, 1_000); // times move in steps: it was last written long ago
});

function overwrite(): void {
  const fd = openSync(image, 'r+');
  writeSync(fd, new Uint8Array(PAGE).fill(2), 0, PAGE, MIB + LENGTH - PAGE);
  closeSync(fd);
}

const changes = [
  { how: 'written to', change: overwrite },
  { how: 'cut short', change: () => truncateSync(image, MIB + LENGTH / 2) },
  { how: 'lengthened', change: () => appendFileSync(image, 'more') },
];

describe.each(changes)('an image that is $how while it is read', ({ change }) => {
  const says = /image has (changed|become shorter) since it was opened/;
  const refused = { code: 'ERR_IO', message: expect.stringMatching(says) };

  test('gives no file of a block', async () => {
    let changed = false;
    const onProgress = (): void => {
      if (!changed) change();
      changed = true;
    };
    await expect(extractBlock(image, 'ram', out, { onProgress })).rejects.toMatchObject(refused);
    expect(await readdir(where)).toEqual(['image']);
  });

  test('gives no report', async () => {
    await beforeRead(2, change);
    await expect(inspectImage(image)).rejects.toMatchObject(refused);
  });

  test('gives no devices', async () => {
    await beforeRead(2, change);
    await expect(inspectDevices(image)).rejects.toMatchObject(refused);
  });

  test('is known by verify() to whoever reads it himself', async () => {
    const reader = await openImage(image);
    await reader.verify();
    change();
    await expect(reader.verify()).rejects.toMatchObject(refused);
    await reader.close();
  });

  test('as a Blob: an error, here or of the Blob itself', async () => {
    const reader = await openImage(await openAsBlob(image));
    change();
    const reading = reader.readPages(reader.blocks[0]!, 0, new Uint8Array(LENGTH));
    await expect(reading).rejects.toMatchObject({ code: 'ERR_IO' });
    await reader.close();
  });
});

test('an image that ends before its pages do is refused when it is opened', async () => {
  for (const length of [MIB, MIB + PAGE, MIB + LENGTH - 1, MIB + LENGTH]) {
    await writeImage(out, [{ id: 'ram', content }], { force: true });
    truncateSync(out, length);
    const refused = { code: 'ERR_IMAGE', message: expect.stringContaining('cut short') };
    await expect(openImage(out)).rejects.toMatchObject(refused);
    const sent = send({ uri: `file:${out}.copy`, image: out });
    await expect(sent).rejects.toMatchObject(refused);
  }
});

test('a file whose beginning is kept is not replaced when it changes meanwhile', async () => {
  await writeFile(out, new Uint8Array(4 * MIB).fill(3));
  utimesSync(out, 1_000, 1_000);
  // The second one: of what is to be kept.
  await beforeRead(2, () => appendFileSync(out, 'x'));
  const blocks = [{ id: 'ram', source: content }];
  const sent = send({ uri: `file:${out},offset=${3 * MIB}`, blocks, force: true });
  const refused = { code: 'ERR_IO', message: expect.stringContaining('out has changed') };
  await expect(sent).rejects.toMatchObject(refused);
  expect((await readFile(out)).length).toBe(4 * MIB + 1);
  expect((await readdir(where)).sort()).toEqual(['image', 'out']);
});

describe('random access of the caller', () => {
  async function access(others: Partial<RandomAccess> = {}): Promise<RandomAccess> {
    const bytes = await readFile(image);
    return {
      name: 'the bucket',
      size: bytes.length,
      async read(offset, into) {
        return bytes.copy(into, 0, offset);
      },
      async close() {},
      ...others,
    };
  }

  const changed = async (): Promise<never> => {
    throw new Error('another version');
  };

  test('is asked, behind the last read, whether it was the same all along', async () => {
    const verify = changed;
    const says = 'the bucket: another version';
    const refused = { code: 'ERR_IO', message: expect.stringContaining(says) };
    await expect(extractBlock(await access({ verify }), 'ram', out)).rejects.toMatchObject(refused);
    await expect(inspectImage(await access({ verify }))).rejects.toMatchObject(refused);
    await expect(inspectDevices(await access({ verify }))).rejects.toMatchObject(refused);
    const copied = send({ uri: `file:${out}`, image: await access({ verify }) });
    await expect(copied).rejects.toMatchObject(refused);
    const blocks = { ram: new Uint8Array(LENGTH) };
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks });
    const sent = send({ uri: incoming.uri, image: await access({ verify }) });
    await expect(sent).rejects.toMatchObject(refused);
    await expect(incoming.completed).rejects.toMatchObject({ code: 'ERR_PEER_CLOSED' });
    expect(await readdir(where)).toEqual(['image']);
  });

  const lies = [undefined, NaN, -1, 0.5, 2 ** 40];

  test.each(lies)('that says it has read %s bytes: nothing is taken for zeros', async (answer) => {
    const liar = await access({ read: async () => answer as number });
    const refused = { code: 'ERR_OPTION', message: expect.stringContaining('the bucket') };
    await expect(isImage(liar)).rejects.toMatchObject(refused);
    const honest = await access();
    let reads = 0;
    const read: RandomAccess['read'] = async (offset, into) => {
      if (offset >= MIB && ++reads > 1) return answer as number;
      return honest.read(offset, into);
    };
    const extracted = extractBlock({ ...honest, read }, 'ram', out);
    await expect(extracted).rejects.toMatchObject(refused);
    expect(await readdir(where)).toEqual(['image']);
  });
});
