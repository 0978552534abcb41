import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { extractBlock, inspectImage, receive, send } from 'multifd';
import { randomBytes } from '../../support/random.ts';
import { run, startReceiver, temporaryFolder } from '../../support/command.ts';
import { folderSize } from './folder-size.ts';
import { smallConfig, startWorker, type Worker } from './workerd.ts';

const PAGE = 4096;
const MIB = 2 ** 20;
const token = 'a.test-token';
const headers = { authorization: `Bearer ${token}` };

let folder: string;
let storage: string;
let source: string;
let image: string;
let worker: Worker;

/** An image that the command made of a file with 300 pages, 100 of them zero, and 7 bytes more. */
beforeEach(async () => {
  folder = await temporaryFolder();
  [source, image, storage] = ['source.bin', 'image', 'storage'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  await mkdir(storage);
  const content = new Uint8Array(300 * PAGE + 7);
  content.set(randomBytes('worker', 200 * PAGE), 50 * PAGE);
  content.fill(1, 300 * PAGE);
  await writeFile(source, content);
  expect(await run('send', source, `file:${image}`)).toMatchObject({ status: 0, stderr: '' });
  worker = await startWorker(storage, { MULTIFD_TOKEN: token });
});

const get = (more: Record<string, string> = {}, method = 'GET'): Promise<Response> =>
  fetch(`http://${worker.host}/image`, { method, headers: { ...headers, ...more } });

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

async function fill(scheme = 'http', path = image): Promise<void> {
  await send({ uri: `${scheme}://${worker.host}/multifd`, image: path, token });
}

describe.each(['http', 'ws'])('by %s', (scheme) => {
  test('an image comes, is served with the bytes of the file, and is sent on', async () => {
    await fill(scheme);
    const expected = await readFile(image);
    const whole = await get();
    expect([whole.status, whole.headers.get('content-length')]).toEqual([
      200,
      String(expected.length),
    ]);
    expect(Buffer.compare(await bytesOf(whole), expected)).toBe(0);

    const { receiver, uri } = await startReceiver(
      `${scheme}://127.0.0.1:0/target`,
      join(folder, 'received'),
    );
    const answer = await fetch(`http://${worker.host}/migrate?to=${encodeURIComponent(uri)}`, {
      method: 'POST',
      headers,
    });
    expect([answer.status, await answer.json()]).toMatchObject([
      200,
      { ram: { normal: 201, duplicate: 100 } },
    ]);
    expect(await receiver.ended).toMatchObject({ status: 0 });
    expect(Buffer.compare(await readFile(join(folder, 'received')), expected)).toBe(0);
  });

  test('a memory comes, and goes again into another', async () => {
    const memory = randomBytes('memory', 3 * MIB);
    await send({
      uri: `${scheme}://${worker.host}/multifd`,
      blocks: [{ id: 'heap', source: memory }],
      token,
    });
    const target = new Uint8Array(memory.length);
    const incoming = await receive({
      uri: `${scheme}://127.0.0.1:0/`,
      blocks: { heap: target },
      token: 'of-the-target',
    });
    const migrate = `http://${worker.host}/migrate?to=${encodeURIComponent(incoming.uri)}`;
    expect(
      (
        await fetch(migrate, {
          method: 'POST',
          headers: { ...headers, 'target-authorization': 'Bearer of-the-target' },
        })
      ).status,
    ).toBe(200);
    await incoming.completed;
    expect(Buffer.compare(target, memory)).toBe(0);
  });
});

describe('as an image by range requests', () => {
  beforeEach(() => fill());

  test('the command inspects, extracts and sends it', async () => {
    const url = `http://${worker.host}/image`;
    const { sizeOnDisk: _, 'size-on-disk': __, ...report } = await inspectImage(image);
    expect(await inspectImage(url, { token })).toMatchObject(report);
    expect(await extractBlock(url, 'source.bin', join(folder, 'copy'), { token })).toBe(
      300 * PAGE + 7,
    );
    expect(Buffer.compare(await readFile(join(folder, 'copy')), await readFile(source))).toBe(0);
    const tokenFile = join(folder, 'token');
    await writeFile(tokenFile, `${token}\n`);
    expect(
      JSON.parse((await run('inspect', url, '--json', '--token-file', tokenFile)).stdout),
    ).toMatchObject({ totals: report.totals });
    expect(await run('inspect', url, '--devices', '--token-file', tokenFile)).toMatchObject({
      status: 0,
    });
    expect(
      await run(
        'extract',
        url,
        'source.bin',
        join(folder, 'copy'),
        '--force',
        '--token-file',
        tokenFile,
      ),
    ).toMatchObject({ status: 0, stderr: '' });
    expect(
      await run('send', url, `file:${join(folder, 'image-copy')}`, '--image-token-file', tokenFile),
    ).toMatchObject({ status: 0, stderr: '' });
    expect(
      await run('send', url, `file:${join(folder, 'none')}`, '--token-file', tokenFile),
    ).toMatchObject({ status: 1, stderr: expect.stringContaining('ERR_AUTH') });
    expect(Buffer.compare(await readFile(join(folder, 'image-copy')), await readFile(image))).toBe(
      0,
    );
  });

  test('ranges and conditions are answered as HTTP has it', async () => {
    const expected = await readFile(image);
    const size = expected.length;
    const etag = (await get({}, 'HEAD')).headers.get('etag')!;
    expect(etag).toMatch(/^"[\w-]+"$/);
    for (const [range, start, end] of [
      ['bytes=0-0', 0, 1],
      ['bytes=100-4999', 100, 5000],
      [`bytes=${MIB - 10}-${MIB + 60 * PAGE}`, MIB - 10, MIB + 60 * PAGE + 1],
      [`bytes=${size - 5}-`, size - 5, size],
      ['bytes=-7', size - 7, size],
      [`bytes=5-${10 * size}`, 5, size],
    ] as const) {
      const answer = await get({ range, 'if-match': etag });
      expect(
        [answer.status, answer.headers.get('content-range'), answer.headers.get('content-length')],
        range,
      ).toEqual([206, `bytes ${start}-${end - 1}/${size}`, String(end - start)]);
      expect(Buffer.compare(await bytesOf(answer), expected.subarray(start, end)), range).toBe(0);
    }
    for (const range of [`bytes=${size}-`, 'bytes=-0']) {
      const answer = await get({ range });
      expect([answer.status, answer.headers.get('content-range')], range).toEqual([
        416,
        `bytes */${size}`,
      ]);
    }
    // What is no single range is ignored.
    for (const range of ['bytes=0-1,3-4', 'bytes=-', 'bytes=5-4', 'pages=0-1'])
      expect((await get({ range }, 'HEAD')).status, range).toBe(200);
    expect((await get({ 'if-match': '"other"' })).status).toBe(412);
    expect((await get({ 'if-none-match': `"other", ${etag}` })).status).toBe(304);
    expect((await get({ range: 'bytes=0-9', 'if-range': '"other"' }, 'HEAD')).status).toBe(200);
    const head = await get({ range: 'bytes=0-9' }, 'HEAD');
    expect([head.status, head.headers.get('content-length'), (await bytesOf(head)).length]).toEqual(
      [206, '10', 0],
    );
    expect((await get({}, 'PUT')).status).toBe(405);
  });

  test(
    'another image takes its place only once it is complete, and is another one for who has ' +
      'read of the first',
    async () => {
      const etag = (await get({}, 'HEAD')).headers.get('etag')!;
      const cancel = new AbortController();
      const endless = {
        byteLength: 64 * MIB,
        read(offset: number, into: Uint8Array) {
          into.fill(7);
          if (offset > 8 * MIB) cancel.abort();
        },
      };
      await expect(
        send({
          uri: `ws://${worker.host}/multifd`,
          blocks: [{ id: 'other', source: endless }],
          token,
          signal: cancel.signal,
        }),
      ).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
      expect(
        Buffer.compare(await bytesOf(await get({ 'if-match': etag })), await readFile(image)),
      ).toBe(0);

      await writeFile(source, new Uint8Array(10 * PAGE).fill(5));
      expect(await run('send', source, `file:${image}`, '--force')).toMatchObject({ status: 0 });
      await fill();
      expect((await get({ 'if-match': etag })).status).toBe(412);
      expect(Buffer.compare(await bytesOf(await get()), await readFile(image))).toBe(0);
    },
  );

  test('it is there again after the process has ended', async () => {
    await worker.stop();
    worker = await startWorker(storage, { MULTIFD_TOKEN: token });
    expect(Buffer.compare(await bytesOf(await get()), await readFile(image))).toBe(0);
  });
});

test('nobody gets anything without the token', async () => {
  const other = await startWorker(await temporaryFolder(), {});
  for (const [host, authorization] of [
    [worker.host, ''],
    [worker.host, 'Bearer a.test-tokem'],
    [worker.host, token],
    [other.host, 'Bearer undefined'],
    [other.host, 'Bearer null'],
    [other.host, 'Bearer '],
  ] as const) {
    for (const [method, path] of [
      ['GET', '/image'],
      ['POST', '/multifd'],
      ['POST', '/migrate?to=ws://127.0.0.1:1/'],
    ] as const) {
      expect(
        (await fetch(`http://${host}${path}`, { method, headers: { authorization } })).status,
      ).toBe(401);
    }
  }
  await expect(
    send({ uri: `ws://${worker.host}/multifd`, image, token: 'another' }),
  ).rejects.toMatchObject({ code: 'ERR_AUTH' });
});

test('what is asked for wrongly is refused in words', async () => {
  expect((await get()).status).toBe(404);
  const post = (path: string): Promise<Response> =>
    fetch(`http://${worker.host}${path}`, { method: 'POST', headers });
  expect((await post('/migrate')).status).toBe(400);
  expect((await post('/migrate?to=ws://127.0.0.1:1/')).status).toBe(404);
  await fill();
  expect((await post('/migrate?to=unix:/tmp/x')).status).toBe(400);
  const refused = await post('/migrate?to=ws://127.0.0.1:1/');
  expect([refused.status, await refused.json()]).toMatchObject([
    502,
    { error: { code: 'ERR_CONNECT' } },
  ]);
});

test(
  'zero pages are not stored, also not where the source says that they are content, and those ' +
    'that become zero are deleted',
  async () => {
    const zeros = {
      byteLength: 256 * MIB,
      read: (_: number, into: Uint8Array) => void into.fill(0),
    };
    await send({
      uri: `ws://${worker.host}/multifd`,
      blocks: [{ id: 'zeros', source: zeros }],
      token,
    });
    await send({
      uri: `ws://${worker.host}/multifd`,
      blocks: [{ id: 'zeros', source: zeros }],
      token,
      zeroPageDetection: 'none',
    });
    expect(await folderSize(storage)).toBeLessThan(MIB);
    expect(await inspectImage(`http://${worker.host}/image`, { token })).toMatchObject({
      totals: { pages: 65536, present: 0 },
    });
  },
);

test('memory stays bounded with an image of 512 MiB', async () => {
  await worker.stop();
  worker = await startWorker(storage, { MULTIFD_TOKEN: token }, smallConfig());
  const idle = worker.peak();
  const pages = {
    byteLength: 512 * MIB,
    read: (offset: number, into: Uint8Array) =>
      void new Uint32Array(into.buffer, into.byteOffset, into.length / 4).fill(offset / PAGE + 1),
  };
  await send({
    uri: `http://${worker.host}/multifd`,
    blocks: [{ id: 'ram', source: pages }],
    token,
  });
  const target = { write() {}, zero() {} };
  const incoming = await receive({ uri: 'ws://127.0.0.1:0/', blocks: { ram: target } });
  expect(
    (
      await fetch(`http://${worker.host}/migrate?to=${encodeURIComponent(incoming.uri)}`, {
        method: 'POST',
        headers,
      })
    ).status,
  ).toBe(200);
  await incoming.completed;
  // What an isolate has on Cloudflare, where the runtime itself is not counted.
  expect(worker.peak() - idle).toBeLessThan(128e6);
});
