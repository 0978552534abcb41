import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  extractBlock,
  inspectDevices,
  inspectImage,
  isImage,
  openImage,
  receive,
  runsOf,
  send,
} from 'multifd';
import {
  answerWith,
  type Misbehaviour,
  rangeServer,
  type RangeServer,
} from '../../support/range-server.ts';
import { folder, PAGE, writeImage } from '../../support/image.ts';

const MIB = 1024 * 1024;
/** More than three requests' worth in one run, and single pages behind it. */
const PAGES = 1200;
const present = [...Array.from({ length: 800 }, (_, page) => page + 2), 900, 902, 903, 1199];

function content(): Uint8Array {
  const all = new Uint8Array(PAGES * PAGE);
  for (const page of present) all.fill((page % 255) + 1, page * PAGE, (page + 1) * PAGE);
  return all;
}

const expected = content();
const blocks = [
  { id: 'zero', content: new Uint8Array(3 * PAGE) },
  { id: 'ram', content: expected },
];
let image: string;
let bytes: Uint8Array<ArrayBuffer>;
let out: string;
beforeEach(async () => {
  const where = await folder();
  image = join(where, 'image');
  out = join(where, 'out');
  await writeImage(image, blocks, {
    records: [{ idstr: 'state', instanceId: 7, data: Uint8Array.of(1) }],
  });
  bytes = Uint8Array.from(await readFile(image));
});

const kinds = [
  'a Blob',
  'a File',
  'a URL',
  'a URL as text',
  'random access of the caller',
] as const;

async function sourceOf(kind: (typeof kinds)[number]): Promise<Parameters<typeof openImage>[0]> {
  if (kind === 'a Blob') return new Blob([bytes]);
  if (kind === 'a File') return new File([bytes], 'vm.img');
  if (kind === 'a URL') return new URL((await rangeServer(bytes)).url);
  if (kind === 'a URL as text') return (await rangeServer(bytes)).url;
  return {
    name: 'bytes',
    size: bytes.length,
    // As few at a time as is allowed, so that whoever reads has to ask again.
    async read(offset, into) {
      const piece = bytes.subarray(offset, offset + Math.min(into.length, 10_000));
      into.set(piece);
      return piece.length;
    },
    async close() {},
  };
}

describe.each(kinds)('%s', (kind) => {
  test('is inspected like the file', async () => {
    const source = await sourceOf(kind);
    expect(await isImage(source)).toBe(true);
    expect(await inspectImage(source)).toEqual({
      ...(await inspectImage(image)),
      'size-on-disk': null,
      sizeOnDisk: null,
    });
    expect(await inspectDevices(source)).toEqual(await inspectDevices(image));
  });

  test('a block is extracted bit for bit', async () => {
    const seen: number[] = [];
    expect(
      await extractBlock(await sourceOf(kind), 'ram', out, {
        onProgress: (done, total) => seen.push(done, total),
      }),
    ).toBe(expected.length);
    expect(Buffer.compare(await readFile(out), expected)).toBe(0);
    expect(seen.slice(-2)).toEqual([present.length * PAGE, present.length * PAGE]);
  });

  test.each(['none', 'legacy', 'multifd'] as const)(
    'is sent to a target with zero page detection %s',
    async (zeroPageDetection) => {
      const ram = new Uint8Array(expected.length).fill(0xcc);
      const zero = new Uint8Array(3 * PAGE).fill(0xcc);
      const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { ram, zero } });
      const { ram: statistics } = await send({
        uri: incoming.uri,
        image: await sourceOf(kind),
        zeroPageDetection,
      });
      await incoming.completed;
      expect(Buffer.compare(ram, expected)).toBe(0);
      expect(zero.every((byte) => byte === 0)).toBe(true);
      if (zeroPageDetection !== 'none') expect(statistics.normal).toBe(present.length);
    },
  );

  test('is copied to a file, byte for byte', async () => {
    await send({ uri: `file:${out}`, image: await sourceOf(kind) });
    expect(Buffer.compare(await readFile(out), bytes)).toBe(0);
  });
});

describe('a URL', () => {
  let server: RangeServer;
  beforeEach(async () => {
    server = await rangeServer(bytes);
  });

  test('nothing is asked for that holds a zero page, and at most 1 MiB at a time', async () => {
    const [, block] = (await inspectImage(image)).blocks;
    const { pagesOffset, bitmapOffset } = block!;
    await extractBlock(server.url, 'ram', out);
    // Several are on their way at a time, on connections of their own.
    const pages = server.asked
      .filter(({ start, end }) => start >= pagesOffset && end <= pagesOffset + expected.length)
      .sort((one, other) => one.start - other.start);
    expect(
      pages.map(({ start, end }) => [(start - pagesOffset) / PAGE, (end - pagesOffset) / PAGE]),
    ).toEqual([
      [2, 258],
      [258, 514],
      [514, 770],
      [770, 802],
      [900, 901],
      [902, 904],
      [1199, 1200],
    ]);
    expect(server.asked.some(({ start }) => start <= bitmapOffset)).toBe(true);
    expect(server.asked.every(({ start, end }) => end - start <= MIB)).toBe(true);
  });

  test('sent, it is asked for as little', async () => {
    const ram = new Uint8Array(expected.length);
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      blocks: { ram, zero: new Uint8Array(3 * PAGE) },
    });
    await send({ uri: incoming.uri, image: server.url });
    await incoming.completed;
    const asked = server.asked.reduce((sum, { start, end }) => sum + end - start, 0);
    // Beside the pages: the beginning, and for each block and the end what a reader takes at a
    // time.
    expect(asked).toBeLessThan(present.length * PAGE + 8 * 64 * 1024);
  });

  test('the token goes with every request, and a server that wants another is an error', async () => {
    server.misbehave = (response, _, { headers }) => {
      if (headers.authorization === 'Bearer se.cr-et==') return false;
      response.writeHead(401).end();
      return true;
    };
    expect((await inspectImage(server.url, { token: 'se.cr-et==' })).totals.present).toBe(
      present.length,
    );
    await expect(inspectImage(server.url)).rejects.toMatchObject({
      code: 'ERR_AUTH',
      message: expect.stringContaining('401'),
    });
    await expect(
      send({ uri: `file:${out}`, image: server.url, token: 'se.cr-et==' } as Parameters<
        typeof send
      >[0]),
    ).rejects.toMatchObject({ code: 'ERR_AUTH' });
    await send({ uri: `file:${out}`, image: server.url, imageToken: 'se.cr-et==' });
    await expect(inspectImage(server.url, { token: 'a\r\nb: c' })).rejects.toMatchObject({
      code: 'ERR_OPTION',
    });
    await expect(inspectImage(server.url.replace('//', '//user:word@'))).rejects.toMatchObject({
      code: 'ERR_URI',
    });
    await expect(inspectImage(new URL('ftp://127.0.0.1/image'))).rejects.toMatchObject({
      code: 'ERR_URI',
    });
  });

  test('a redirection to another server is followed, without the token', async () => {
    const other = await rangeServer(bytes);
    server.misbehave = (response) => !!response.writeHead(307, { location: other.url }).end();
    expect((await inspectImage(server.url, { token: 'secret' })).totals.present).toBe(
      present.length,
    );
    expect(server.requests.every(({ headers }) => headers.authorization === 'Bearer secret')).toBe(
      true,
    );
    expect(other.requests.length).toBe(server.requests.length);
    expect(other.requests.some(({ headers }) => headers.authorization !== undefined)).toBe(false);
  });

  test.each([
    ['a strong ETag', { etag: '"1"' }, { etag: '"2"' }],
    ['a weak ETag', { etag: 'W/"1"' }, { etag: 'W/"2"' }],
    [
      'a date',
      { 'last-modified': 'Tue, 24 Nov 2026 00:00:00 GMT' },
      { 'last-modified': 'Tue, 24 Nov 2026 00:00:01 GMT' },
    ],
  ])('a change is seen by %s', async (_, before, after) => {
    server.headers = before;
    const reader = await openImage(server.url);
    const block = reader.blocks[1]!;
    const page = new Uint8Array(PAGE);
    await reader.readPages(block, 2 * PAGE, page);
    expect([...new Set(page)]).toEqual([3]);
    server.headers = after;
    await expect(reader.readPages(block, 2 * PAGE, page)).rejects.toMatchObject({
      code: 'ERR_IMAGE',
      message: expect.stringContaining('has changed'),
    });
    server.headers = before;
    server.content = bytes.subarray(0, bytes.length - 1);
    await expect(reader.readPages(block, 2 * PAGE, page)).rejects.toMatchObject({
      code: 'ERR_IMAGE',
      message: expect.stringContaining('has changed'),
    });
    await reader.close();
  });

  const answers: [what: string, code: string, misbehave: (server: RangeServer) => Misbehaviour][] =
    [
      [
        'no ranges',
        'ERR_UNSUPPORTED',
        () => (response) => !!response.writeHead(200, { etag: '"1"' }).end(bytes),
      ],
      [
        'nothing that tells of a change',
        'ERR_UNSUPPORTED',
        (server) => ((server.headers = {}), () => false),
      ],
      [
        'compression',
        'ERR_UNSUPPORTED',
        (server) => (response, range) => (
          answerWith(server, response, range, { 'content-encoding': 'gzip' }), true
        ),
      ],
      [
        'no Content-Range',
        'ERR_UNSUPPORTED',
        () => (response) =>
          !!response.writeHead(206, { etag: '"1"' }).end(bytes.subarray(0, 65536)),
      ],
      [
        'another range',
        'ERR_IMAGE',
        (server) =>
          (response, { start, end }) => (
            answerWith(server, response, { start: start + 1, end: end + 1 }), true
          ),
      ],
      [
        'a longer range',
        'ERR_IMAGE',
        (server) =>
          (response, { start, end }) => (
            answerWith(server, response, { start, end: end + 1 }), true
          ),
      ],
      [
        'a range past the end',
        'ERR_IMAGE',
        (server) => (response, range) => (
          answerWith(server, response, range, {
            'content-range': `bytes ${range.start}-${range.end - 1}/${range.end - 1}`,
          }),
          true
        ),
      ],
      [
        'a range that is none',
        'ERR_IMAGE',
        (server) => (response, range) => (
          answerWith(server, response, range, { 'content-range': 'bytes 0-9/*' }), true
        ),
      ],
      [
        'more bytes than it says',
        'ERR_IMAGE',
        (server) => (response, range) => (
          answerWith(server, response, range, {}, bytes.subarray(0, 80_000)), true
        ),
      ],
      [
        'fewer bytes than it says',
        'ERR_PEER_CLOSED',
        (server) => (response, range) => (
          answerWith(server, response, range, {}, bytes.subarray(range.start, range.end - 1)), true
        ),
      ],
      [
        'an end in the middle',
        'ERR_PEER_CLOSED',
        () =>
          (response, { start, end }) => {
            response.writeHead(206, {
              etag: '"1"',
              'content-range': `bytes ${start}-${end - 1}/${bytes.length}`,
              'content-length': String(end - start),
            });
            response.write(bytes.subarray(start, end - 1), () => response.destroy());
            return true;
          },
      ],
      ['404', 'ERR_CONNECT', () => (response) => !!response.writeHead(404).end()],
      [
        'an empty file',
        'ERR_IMAGE',
        () => (response) => !!response.writeHead(416, { 'content-range': 'bytes */0' }).end(),
      ],
      [
        'a redirection to itself',
        'ERR_CONNECT',
        () => (response) => !!response.writeHead(302, { location: '/vm.img' }).end(),
      ],
      ['a closed connection', 'ERR_CONNECT', () => (response) => !!response.destroy()],
    ];
  test.each(answers)('a server that answers with %s is %s', async (_, code, misbehave) => {
    server.misbehave = misbehave(server);
    await expect(openImage(server.url)).rejects.toMatchObject({ code });
  });

  test.each([
    ['does not answer', () => true],
    [
      'stops in the middle',
      (response: Parameters<Misbehaviour>[0]) => {
        response
          .writeHead(206, { etag: '"1"', 'content-range': `bytes 0-65535/${bytes.length}` })
          .write('Q');
        return true;
      },
    ],
  ])('a server that %s is given up after the time-out, or by the signal', async (_, misbehave) => {
    server.misbehave = misbehave;
    await expect(openImage(server.url, { timeout: 50 })).rejects.toMatchObject({
      code: 'ERR_TIMEOUT',
    });
    const cancel = new AbortController();
    const opening = openImage(server.url, { signal: cancel.signal });
    cancel.abort('enough');
    await expect(opening).rejects.toMatchObject({
      code: 'ERR_CANCELLED',
      name: 'AbortError',
      cause: 'enough',
    });
    await expect(openImage(server.url, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_CANCELLED',
    });
  });

  test('a kept connection that the server closes as it is used again costs one more request', async () => {
    const reader = await openImage(server.url);
    let closed = 0;
    server.misbehave = (response) => closed++ === 0 && !!response.destroy();
    const page = new Uint8Array(PAGE);
    await reader.readPages(reader.blocks[1]!, 900 * PAGE, page);
    expect(page[0]).toBe((900 % 255) + 1);
    expect(closed).toBe(2);
    await reader.close();
  });

  test('nobody listens', async () => {
    await expect(openImage('http://127.0.0.1:1/image')).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_CONNECT$/),
    });
  });

  test('pages in any order: runs from the bitmap', async () => {
    const reader = await openImage(server.url);
    const block = reader.blocks[1]!;
    const runs = [...runsOf(await reader.readBitmap(block), PAGES)].reverse();
    expect(runs).toHaveLength(4);
    for (const { start, end } of runs) {
      const into = new Uint8Array((end - start) * PAGE);
      await reader.readPages(block, start * PAGE, into);
      expect(Buffer.compare(into, expected.subarray(start * PAGE, end * PAGE))).toBe(0);
    }
    await reader.close();
  });

  test('a server that goes away while an image is sent fails both ends', async () => {
    let answered = 0;
    server.misbehave = (response) => answered++ > 5 && !!response.destroy();
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      blocks: { ram: new Uint8Array(expected.length), zero: new Uint8Array(3 * PAGE) },
    });
    await expect(send({ uri: incoming.uri, image: server.url })).rejects.toMatchObject({
      code: 'ERR_CONNECT',
    });
    await expect(incoming.completed).rejects.toMatchObject({ code: 'ERR_PEER_CLOSED' });
  });
});
