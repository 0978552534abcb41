import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { randomBytes } from '../../support/random.ts';
import {
  type Ended,
  errorsOf,
  type JsonEvent,
  resultOf,
  run,
  type Running,
  start,
  startReceiver,
  temporaryFolder,
} from '../../support/command.ts';

const MIB = 2 ** 20;
const UUID = '6d7f2a3e-5a59-4d0c-8a0e-1f2d3c4b5a69';

/** A folder with a file to send, and an empty one for what is received. */
async function places(length = MIB): Promise<{ source: string; target: string; image: string }> {
  const folder = await temporaryFolder();
  const source = join(folder, 'source.bin');
  const target = join(folder, 'target');
  await writeFile(source, randomBytes('failures', length));
  await mkdir(target);
  return { source, target, image: join(target, 'image') };
}

function expectFailure(ended: Ended, code: string | RegExp): void {
  const [error, ...more] = errorsOf(ended);
  expect(error, ended.stderr).toMatch(code);
  expect(more).toEqual([]);
  expect(ended.status).toBe(1);
  expect(resultOf(ended)).toMatchObject({ event: 'failed', error: { code: error } });
}

describe('ends that do not fit together', () => {
  test.each([
    {
      what: 'fewer channels than expected',
      sender: ['--channels', '2'],
      receiver: ['--channels', '4'],
      code: 'ERR_CHANNEL_COUNT',
    },
    {
      what: 'more channels than expected',
      sender: ['--channels', '4'],
      receiver: ['--channels', '2'],
      code: 'ERR_CHANNEL_ID',
    },
    {
      what: 'another uuid',
      sender: ['--uuid', UUID],
      receiver: ['--uuid', UUID.replace('6', '7')],
      code: 'ERR_UUID',
    },
    {
      what: 'a uuid where none is expected',
      sender: ['--uuid', UUID],
      receiver: [],
      code: 'ERR_UUID',
    },
    {
      what: 'another compression',
      sender: ['--compression', 'zlib'],
      receiver: [],
      code: 'ERR_COMPRESSION',
    },
    {
      what: 'more memory than allowed',
      sender: [],
      receiver: ['--max-size', '512K'],
      code: 'ERR_BLOCK_LENGTH',
    },
  ])(
    '$what: $code at the target, a failure at the source, and no image',
    async ({ sender, receiver, code }) => {
      const { source, target, image } = await places();
      const listening = await startReceiver(
        'tcp:127.0.0.1:0',
        image,
        '--timeout',
        '1.5',
        ...receiver,
      );
      const sent = await run('send', source, listening.uri, '--json', ...sender);
      expectFailure(await listening.receiver.ended, code);
      expectFailure(sent, /^ERR_(REMOTE|PEER_CLOSED)$/);
      expect(await readdir(target)).toEqual([]);
    },
  );

  test('the same uuid at both ends fits', async () => {
    const { source, image } = await places();
    const { receiver, uri } = await startReceiver('tcp:127.0.0.1:0', image, '--uuid', UUID);
    expect(await run('send', source, uri, '--uuid', UUID.toUpperCase())).toMatchObject({
      status: 0,
    });
    expect(await receiver.ended).toMatchObject({ status: 0 });
  });
});

describe('nobody there', () => {
  test('a port that nobody listens on', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    expectFailure(
      await run('send', process.execPath, `tcp:127.0.0.1:${port}`, '--json'),
      'ERR_CONNECT',
    );
  });

  test('a socket that is not there', async () => {
    const { source, target } = await places();
    expectFailure(await run('send', source, `unix:${target}/nothing`, '--json'), 'ERR_CONNECT');
  });

  test('a target that takes connections and says nothing', async () => {
    const { source } = await places();
    const server = createServer({ allowHalfOpen: true }, (socket) =>
      socket.on('error', () => {}).resume(),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const ended = await run('send', source, `tcp:127.0.0.1:${port}`, '--timeout', '0.7', '--json');
    server.close();
    expectFailure(ended, 'ERR_TIMEOUT');
  });

  test('an address that is taken', async () => {
    const { image } = await places();
    const { uri } = await startReceiver('tcp:127.0.0.1:0', image);
    expectFailure(await run('receive', uri, `${image}.second`, '--json'), 'ERR_LISTEN');
  });

  test('a connection that is no channel is dropped and told, and the migration goes on', async () => {
    const { source, image } = await places();
    const { receiver, uri } = await startReceiver('tcp:127.0.0.1:0', image);
    const unwanted = connect(Number(uri.split(':').at(-1)), '127.0.0.1').on('error', () => {});
    unwanted.write('GET / HTTP/1.1\r\n\r\n');
    await once(unwanted.resume(), 'close');
    await receiver.said(/^multifd: dropped a connection \P{Cc}+$/mu);
    expect(await run('send', source, uri)).toMatchObject({ status: 0 });
    const ended = await receiver.ended;
    expect({ status: ended.status, errors: errorsOf(ended) }).toEqual({ status: 0, errors: [] });
  });
});

describe('files that are not as they have to be', () => {
  test.each([
    [
      'a source that is missing',
      (folder: string) => ['send', `${folder}/nothing`, 'unix:nowhere', '--json'],
      'ERR_IO',
    ],
    [
      'a source that is a folder',
      (folder: string) => ['send', folder, 'unix:nowhere', '--json'],
      'ERR_IO',
    ],
    [
      'an image in a folder that is missing',
      (folder: string) => ['receive', 'tcp:127.0.0.1:0', `${folder}/nothing/image`, '--json'],
      'ERR_IO',
    ],
    [
      'no image to look into',
      (folder: string) => ['inspect', `${folder}/nothing`, '--json'],
      'ERR_IO',
    ],
    ['a file that is no image', () => ['inspect', process.execPath, '--json'], 'ERR_MAGIC'],
    [
      'a file that is no image to extract from',
      (folder: string) => ['extract', process.execPath, 'ram', `${folder}/copy`, '--json'],
      'ERR_MAGIC',
    ],
    [
      'a file that is no image to load',
      (folder: string) => ['receive', `file:${process.execPath}`, `${folder}/image`, '--json'],
      'ERR_MAGIC',
    ],
  ])('%s', async (_, args, code) => {
    const folder = await temporaryFolder();
    expectFailure(await run(...args(folder)), code);
    expect(await readdir(folder)).toEqual([]);
  });

  test('an image that is there is kept, or replaced with --force', async () => {
    const { source, target, image } = await places();
    await writeFile(image, 'precious');
    expectFailure(await run('receive', 'tcp:127.0.0.1:0', image, '--json'), 'ERR_EXISTS');
    expectFailure(await run('send', source, `file:${image}`, '--json'), 'ERR_EXISTS');
    expect(await readFile(image, 'utf8')).toBe('precious');
    expect(await readdir(target)).toEqual(['image']);

    expect(await run('send', source, `file:${image}`, '--force')).toMatchObject({ status: 0 });
    const { receiver, uri } = await startReceiver('tcp:127.0.0.1:0', image, '--force');
    expect(await run('send', source, uri)).toMatchObject({ status: 0 });
    expect(await receiver.ended).toMatchObject({ status: 0 });

    const copy = join(target, 'copy');
    await writeFile(copy, 'precious');
    expectFailure(await run('extract', image, 'source.bin', copy, '--json'), 'ERR_EXISTS');
    expect(await readFile(copy, 'utf8')).toBe('precious');
    expect(await run('extract', image, 'source.bin', copy, '--force')).toMatchObject({ status: 0 });
    expect(Buffer.compare(await readFile(copy), await readFile(source))).toBe(0);
  });
});

describe('Ctrl-C', () => {
  /** A migration that lasts for about 20 seconds, in the middle of it. */
  async function underWay(): Promise<{ sender: Running; receiver: Running; target: string }> {
    const { source, target, image } = await places(20 * MIB);
    const { receiver, uri } = await startReceiver('tcp:127.0.0.1:0', image);
    const sender = start('send', source, uri, '--max-bandwidth', '1M', '--json');
    const moving = ({ ram }: JsonEvent): boolean => (ram as { normal: number }).normal > 0;
    await Promise.all([sender.event('progress', moving), receiver.event('progress', moving)]);
    return { sender, receiver, target };
  }

  test.each([
    { end: 'sender', signal: 'SIGINT', status: 130 },
    { end: 'receiver', signal: 'SIGINT', status: 130 },
    { end: 'sender', signal: 'SIGTERM', status: 143 },
    { end: 'receiver', signal: 'SIGTERM', status: 143 },
  ] as const)(
    '$signal at the $end ends both ends, each with its one error, and leaves no file',
    async ({ end, signal, status }) => {
      const { target, ...ends } = await underWay();
      ends[end].child.kill(signal);
      const cancelled = await ends[end].ended;
      expect({ status: cancelled.status, errors: errorsOf(cancelled) }).toEqual({
        status,
        errors: ['ERR_CANCELLED'],
      });
      const result = resultOf(cancelled);
      expect(result).toMatchObject({ event: 'cancelled', error: { code: 'ERR_CANCELLED' } });
      expect((result['ram'] as { remaining: number }).remaining).toBeGreaterThan(0);

      expectFailure(
        await ends[end === 'sender' ? 'receiver' : 'sender'].ended,
        /^ERR_(REMOTE|PEER_CLOSED)$/,
      );
      expect(await readdir(target)).toEqual([]);
    },
  );

  test('while nobody has come yet', async () => {
    const { target, image } = await places();
    const { receiver } = await startReceiver('tcp:127.0.0.1:0', image);
    receiver.child.kill('SIGINT');
    const ended = await receiver.ended;
    expect({ status: ended.status, errors: errorsOf(ended), event: resultOf(ended).event }).toEqual(
      { status: 130, errors: ['ERR_CANCELLED'], event: 'cancelled' },
    );
    expect(await readdir(target)).toEqual([]);
  });

  test(
    'an end that is killed outright fails the other one, and leaves nothing under the final ' +
      'name',
    async () => {
      const { sender, receiver, target } = await underWay();
      receiver.child.kill('SIGKILL');
      expectFailure(await sender.ended, 'ERR_PEER_CLOSED');
      expect(await readdir(target)).not.toContain('image');
    },
  );
});
