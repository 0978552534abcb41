import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  extractBlock,
  fileLengthRecord,
  ImageWriter,
  inspectImage,
  isImage,
  openImage,
} from '../../../src/image/index.ts';
import { Random, SEED } from '../../support/random.ts';
import { bytes } from '../../support/stream.ts';
import {
  bitmapOf,
  type Block,
  CONFIGURATION,
  folder,
  PAGE,
  patch,
  writeImage,
} from '../../support/image.ts';

const MIB = 1024 * 1024;

function content(pages: number, present: Iterable<number>, pageSize = PAGE): Uint8Array {
  const all = new Uint8Array(pages * pageSize);
  for (const page of present) all.fill((page % 255) + 1, page * pageSize, (page + 1) * pageSize);
  return all;
}

let where: string;
let image: string;
let out: string;
beforeEach(async () => {
  where = await folder();
  image = join(where, 'image');
  out = join(where, 'out');
});

describe('an image written and read', () => {
  const blocks: Block[] = [
    { id: 'one', content: content(700, [0, 1, 2, 600, 699]) },
    { id: 'rom@etc/two', content: content(1, []) },
    {
      id: 'three',
      content: content(
        65,
        Array.from({ length: 65 }, (_, page) => page),
      ),
    },
  ];

  test.each([0, 1, 5000, 3 * MIB])('at offset %i', async (offset) => {
    await writeImage(image, blocks, { offset });
    const reader = await openImage(image, { offset });
    try {
      expect(reader.configuration).toEqual({ machine: 'test', capabilities: ['mapped-ram'] });
      expect(
        reader.blocks.map(({ id, usedLength, trueLength }) => ({ id, usedLength, trueLength })),
      ).toEqual(
        blocks.map((block) => ({
          id: block.id,
          usedLength: block.content.length,
          trueLength: block.content.length,
        })),
      );
      expect(reader.pageSize).toBe(PAGE);
      expect(await reader.readBitmap(reader.blocks[0]!)).toEqual(bitmapOf([0, 1, 2, 600, 699], 88));
      expect(await reader.readTail()).toEqual(bytes('00'));
      expect(reader.sections).toEqual([]);
    } finally {
      await reader.close();
    }
    for (const { id, content: expected } of blocks) {
      const length = await extractBlock(image, id, out, { offset, force: true });
      expect(length).toBe(expected.length);
      expect(Buffer.compare(await readFile(out), expected), id).toBe(0);
    }
  });

  test('is reported', async () => {
    const uuid = bytes('000102030405060708090a0b0c0d0e0f');
    const records = [{ idstr: 'state', instanceId: 7, data: bytes('010203') }];
    await writeImage(image, blocks, { configuration: { ...CONFIGURATION, uuid }, records });
    const report = await inspectImage(image);
    expect(report).toMatchObject({
      machine: 'test',
      capabilities: ['mapped-ram'],
      uuid: '00010203-0405-0607-0809-0a0b0c0d0e0f',
      pageSize: PAGE,
      fileSize: (await stat(image)).size,
      sections: [{ idstr: 'state', instanceId: 7, version: 1, size: 3 }],
      totals: {
        pages: 766,
        present: 70,
        zero: 696,
        presentBytes: 70 * PAGE,
        usedLength: 766 * PAGE,
      },
    });
    expect(report.blocks[0]).toMatchObject({
      id: 'one',
      pages: 700,
      present: 5,
      zero: 695,
      presentBytes: 5 * PAGE,
      length: 700 * PAGE,
    });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  test('takes the disk only for pages that are present', async () => {
    await writeImage(image, [{ id: 'sparse', content: content(20_000, [0, 10_000, 19_999]) }]);
    const { fileSize, sizeOnDisk } = await inspectImage(image);
    expect(fileSize).toBeGreaterThan(20_000 * PAGE);
    expect(sizeOnDisk).toBeLessThan(MIB);
    await extractBlock(image, 'sparse', out);
    const extracted = await stat(out);
    expect(extracted.size).toBe(20_000 * PAGE);
    expect(extracted.blocks * 512).toBeLessThan(MIB);
  });

  test('other page sizes', async () => {
    const large = content(40, [3, 39], 65536);
    await writeImage(image, [{ id: 'x', content: large }], { pageSize: 65536 });
    expect((await inspectImage(image)).blocks[0]).toMatchObject({ pages: 40, present: 2 });
    await extractBlock(image, 'x', out);
    expect(Buffer.compare(await readFile(out), large)).toBe(0);
  });

  test('an image without blocks', async () => {
    await writeImage(image, []);
    expect(await inspectImage(image)).toMatchObject({ blocks: [], totals: { pages: 0 } });
  });

  test(`random images, SEED ${SEED}`, async () => {
    const random = new Random(SEED);
    for (let round = 0; round < 10; round++) {
      const blocks = Array.from({ length: 1 + random.below(4) }, (_, index) => {
        const pages = 1 + random.below(400);
        const density = random.fraction();
        return {
          id: `b${index}`,
          content: content(
            pages,
            Array.from({ length: pages }, (_, page) => page).filter(() => random.chance(density)),
          ),
        };
      });
      const offset = random.below(3000);
      await writeImage(image, blocks, { force: true, offset });
      for (const block of blocks) {
        await extractBlock(image, block.id, out, { force: true, offset });
        expect(
          Buffer.compare(await readFile(out), block.content),
          `seed ${SEED}, ${block.id}`,
        ).toBe(0);
      }
    }
  });

  test("what stands before the image's offset is kept", async () => {
    await writeFile(image, 'header and old content');
    await writeImage(image, blocks, { force: true, offset: 6 });
    expect((await readFile(image)).subarray(0, 10).toString()).toBe('headerQEVM');
    await writeImage(image, blocks, { force: true, offset: 5000 });
    expect((await readFile(image)).subarray(0, 10).toString()).toBe('headerQEVM');
  });

  test('can be told from other files', async () => {
    await writeImage(image, blocks, { offset: 4 });
    expect(await isImage(image, { offset: 4 })).toBe(true);
    expect(await isImage(image)).toBe(false);
    await writeFile(out, 'QEV');
    expect(await isImage(out)).toBe(false);
    await writeFile(out, bytes("'QEVM", '00000003 07 00000001', "'m", '01'));
    expect(await isImage(out)).toBe(false);
    await writeFile(out, 'QEVM');
    await expect(isImage(out)).rejects.toMatchObject({ code: 'ERR_IMAGE' });
    await expect(isImage(join(where, 'none'))).rejects.toMatchObject({ code: 'ERR_IO' });
  });
});

describe("a file's true length", () => {
  test.each([0, 1, PAGE - 1, PAGE])('%i bytes beyond the first page', async (extra) => {
    const usedLength = Math.max(1, Math.ceil(extra / PAGE)) * PAGE;
    const block = { id: 'file', content: new Uint8Array(usedLength).fill(5, 0, extra) };
    await writeImage(image, [{ id: 'other', content: content(2, [1]) }, block], {
      records: [fileLengthRecord(1, extra)],
    });
    expect((await inspectImage(image)).blocks.map(({ length }) => length)).toEqual([
      2 * PAGE,
      extra,
    ]);
    expect(await extractBlock(image, 'file', out)).toBe(extra);
    expect(new Uint8Array(await readFile(out))).toEqual(new Uint8Array(extra).fill(5));
  });

  test.each([
    ['longer than the block', [fileLengthRecord(0, 2 * PAGE + 1)]],
    ['short of its last page', [fileLengthRecord(0, PAGE)]],
    ['none, for two pages', [fileLengthRecord(0, 0)]],
    ['no block', [fileLengthRecord(1, PAGE)]],
    ['two for one block', [fileLengthRecord(0, PAGE + 1), { ...fileLengthRecord(0, PAGE + 1) }]],
    ['no eight bytes', [{ ...fileLengthRecord(0, PAGE + 1), data: bytes('00') }]],
    ['more than 2^53', [{ ...fileLengthRecord(0, PAGE + 1), data: bytes('0100000000000000') }]],
  ])('refused: %s', async (_what, records) => {
    await writeImage(image, [{ id: 'x', content: content(2, [0]) }], { records });
    await expect(openImage(image)).rejects.toMatchObject({ code: 'ERR_IMAGE' });
  });
});

describe('a broken image', () => {
  const block = { id: 'x', content: content(10, [0, 9]) };
  // Fields of the head, by their place in the file; the layout test has the bytes.
  const HEADER = 0x7f - 28;

  test.each([
    ['ERR_VERSION', 'the mapped-ram version', HEADER, '00000002'],
    ['ERR_IMAGE', 'a page size that is no power of two', HEADER + 4, '0000000000001001'],
    ['ERR_IMAGE', 'a page size of 0', HEADER + 4, '0000000000000000'],
    ['ERR_IMAGE', 'a bitmap in the header', HEADER + 12, '000000000000007e'],
    ['ERR_IMAGE', 'a bitmap in the pages', HEADER + 12, '00000000000ffff9'],
    ['ERR_IMAGE', 'pages off the boundary', HEADER + 20, '0000000000100800'],
    ['ERR_IMAGE', 'pages in the header', HEADER + 20, '0000000000000000'],
    ['ERR_IMAGE', 'pages beyond the file', HEADER + 20, '0000000010000000'],
    ['ERR_IMAGE', 'pages beyond any file', HEADER + 20, '001ffffffff00000'],
    ['ERR_BLOCK_LENGTH', 'a used length beyond the total', HEADER - 8, '000000000000b000'],
    ['ERR_STREAM', 'a zero page in the stream', MIB + 10 * PAGE, '0000000000000002'],
    ['ERR_STREAM', 'a page in the stream', MIB + 10 * PAGE, '0000000000000008'],
    ['ERR_STREAM', 'a flush in the stream', MIB + 10 * PAGE, '0000000000000200'],
    ['ERR_MAGIC', 'the magic', 0, '00'],
  ])('%s: %s', async (code, _what, position, replaced) => {
    await writeImage(image, [block]);
    await patch(image, position, bytes(replaced));
    await expect(openImage(image)).rejects.toMatchObject({
      code,
      offset: expect.any(Number),
      channel: undefined,
    });
  });

  test('cut short at any byte of head and end', async () => {
    const records = [fileLengthRecord(0, block.content.length)];
    await writeImage(image, [block], { records });
    const whole = await readFile(image);
    await truncate(image, 0);
    const body = MIB + block.content.length;
    const accepted: number[] = [];
    for (let length = 0; length < whole.length; length++) {
      if (length === 0x7f) length = body;
      if (length > 0) await patch(image, length - 1, whole.subarray(length - 1, length));
      if (length === body) await writeFile(image, whole.subarray(0, length));
      const outcome: unknown = await openImage(image).then(
        (reader) => reader.close(),
        (error: unknown) => error,
      );
      // Without its description the end is still one, after the EOF mark; the record then is not
      // found.
      const plausible = whole[length - 6] === 0x7e && whole[length - 1] === 0 && length > body + 32;
      if (plausible) accepted.push(length);
      if (plausible) continue;
      expect(outcome, `cut at ${length}`).toMatchObject({ code: 'ERR_IMAGE', offset: length });
    }
    expect(accepted).toHaveLength(1);
  });

  test('bits past the last page', async () => {
    await writeImage(image, [block]);
    await patch(image, 0x7f + 1, bytes('06'));
    await expect(inspectImage(image)).rejects.toMatchObject({ code: 'ERR_IMAGE', offset: 0x7f });
    await expect(extractBlock(image, 'x', out)).rejects.toMatchObject({ code: 'ERR_IMAGE' });
    expect(await readdir(where)).toEqual(['image']);
  });

  test('a stream that is no mapped-ram image', async () => {
    await writeFile(image, bytes("'QEVM", '00000003 07 00000001', "'m", '01'));
    await expect(openImage(image)).rejects.toMatchObject({ code: 'ERR_IMAGE' });
  });
});

describe('extract', () => {
  const blocks = [
    {
      id: 'x',
      content: content(
        2000,
        Array.from({ length: 2000 }, (_, page) => page),
      ),
    },
  ];
  beforeEach(() => writeImage(image, blocks));

  test('an unknown block, with the names that are there', async () => {
    await expect(extractBlock(image, 'y', out)).rejects.toMatchObject({
      code: 'ERR_NO_BLOCK',
      message: expect.stringContaining('x'),
    });
  });

  test('reports how far it is', async () => {
    const seen: number[] = [];
    await extractBlock(image, 'x', out, { onProgress: (done, total) => seen.push(done, total) });
    expect(seen.at(-2)).toBe(2000 * PAGE);
    expect(seen.filter((_, index) => index % 2 === 1).every((total) => total === 2000 * PAGE)).toBe(
      true,
    );
    expect(seen.length).toBe(16);
  });

  test('cancelled half-way it leaves nothing', async () => {
    const cancel = new AbortController();
    const extracting = extractBlock(image, 'x', out, {
      signal: cancel.signal,
      onProgress: (done) => done > 3 * MIB && cancel.abort(),
    });
    await expect(extracting).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
    expect(await readdir(where)).toEqual(['image']);
  });

  test('does not replace a file unasked', async () => {
    await writeFile(out, 'precious');
    await expect(extractBlock(image, 'x', out)).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    expect(await readFile(out, 'utf8')).toBe('precious');
  });
});

describe('the writer', () => {
  const begun = async (): Promise<ImageWriter> => {
    const writer = await ImageWriter.create(image);
    await writer.begin(CONFIGURATION, [{ id: 'x', usedLength: PAGE }], PAGE);
    return writer;
  };

  test.each([
    ['no bitmaps', []],
    ['a bitmap of another length', [new Uint8Array(16)]],
    ['bits past the last page', [bytes('0200000000000000')]],
  ])('refuses %s', async (_what, bitmaps) => {
    const writer = await begun();
    await expect(writer.writeBitmaps(bitmaps)).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    await writer.discard();
  });

  test('does not commit half an image', async () => {
    const writer = await begun();
    await expect(writer.commit()).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    await writer.writeBitmaps([bytes('0100000000000000')]);
    await expect(writer.commit()).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    await writer.discard();
    expect(await readdir(where)).toEqual([]);
  });

  test('takes the tail in pieces', async () => {
    const writer = await begun();
    await writer.writeBitmaps([new Uint8Array(8)]);
    const tail = bytes('04 00000002 01', "'d", '00000000 00000001 aa 7e 00000002 00');
    for (const byte of tail) await writer.appendTail(Uint8Array.of(byte));
    await writer.commit();
    const reader = await openImage(image);
    expect(await reader.readTail()).toEqual(tail);
    await reader.close();
    expect((await stat(image)).mode & 0o777).toBe(0o600);
  });
});
