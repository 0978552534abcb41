import { execFileSync } from 'node:child_process';
import { truncateSync, utimesSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { receive } from 'multifd';
import { writeImage } from '../../support/image.ts';
import {
  errorsOf,
  resultOf,
  run,
  type start,
  startIn,
  temporaryFolder,
} from '../../support/command.ts';

const PAGE = 4096;
const MIB = 1024 * 1024;

/** Nobody listens there. */
const TARGET = 'tcp:127.0.0.1:1';
const SERVER = 'http://127.0.0.1:1/';
/** Of a command that has refused a file. */
const REFUSED = { status: 1, errors: ['ERR_IO'] };

let folder: string;
/** A FIFO that nobody writes to. */
let pipe: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
});

describe('what is no regular file is refused at once, by name', () => {
  const uses: { use: string; args: (path: string, file: string, out: string) => string[] }[] = [
    { use: 'inspect', args: (path) => ['inspect', path] },
    { use: 'inspect --devices', args: (path) => ['inspect', path, '--devices'] },
    { use: 'extract', args: (path, _, out) => ['extract', path, 'ram', out] },
    { use: 'a core', args: (path, _, out) => ['extract', path, '--format', 'elf', out] },
    { use: 'receive', args: (path, _, out) => ['receive', `file:${path}`, out] },
    { use: 'send', args: (path) => ['send', path, TARGET] },
    { use: 'send --offset', args: (path) => ['send', path, TARGET, '--offset', '1M'] },
    { use: 'a token', args: (path, file) => ['send', file, TARGET, '--token-file', path] },
    { use: "an image's token", args: (path) => ['inspect', SERVER, '--token-file', path] },
    { use: 'an output', args: (path, file) => ['send', file, `file:${path}`, '--force'] },
  ];

  test.each(uses)('a pipe for $use', async ({ args }) => {
    const file = join(folder, 'file');
    await writeFile(file, new Uint8Array(PAGE));
    const ended = await run(...args(pipe, file, join(folder, 'out')));
    expect({ status: ended.status, errors: errorsOf(ended) }).toEqual(REFUSED);
    expect(ended.stderr).toContain(pipe);
    expect((await readdir(folder)).sort()).toEqual(['file', 'pipe']);
  });

  test('a pipe for a TLS credential', async () => {
    const file = join(folder, 'file');
    await writeFile(file, new Uint8Array(PAGE));
    for (const name of ['ca-cert.pem', 'keys.psk']) {
      const credentials = join(folder, name.slice(0, 2));
      await mkdir(credentials);
      execFileSync('mkfifo', [join(credentials, name)]);
      const ended = await run('send', file, TARGET, '--tls-creds-dir', credentials);
      expect({ status: ended.status, errors: errorsOf(ended) }).toEqual(REFUSED);
      expect(ended.stderr).toContain(join(credentials, name));
    }
  });

  test.each<[string, RegExp, () => string | Promise<string>]>([
    ['a folder, to send', /a folder/, () => folder],
    ['a character device', /a character device/, () => '/dev/zero'],
    [
      'a socket',
      /a socket/,
      async () => {
        const path = join(folder, 'socket');
        const server = createServer();
        await new Promise<void>((resolve) => server.listen(path, resolve));
        onTestFinished(() => void server.close());
        return path;
      },
    ],
  ])('%s', async (_, kind, make) => {
    const ended = await run('send', await make(), TARGET);
    expect({ status: ended.status, errors: errorsOf(ended) }).toEqual(REFUSED);
    expect(ended.stderr).toMatch(kind);
  });
});

describe('a read that never returns', () => {
  function stuck(...args: readonly string[]): ReturnType<typeof start> {
    const preload = pathToFileURL(join(import.meta.dirname, '../../support/stuck-reads.mjs'));
    return startIn({ NODE_OPTIONS: `--import=${preload.href}`, MULTIFD_TEST_PIPE: pipe }, ...args);
  }

  const commands: [string, (image: string) => string[]][] = [
    ['inspect', (image) => ['inspect', image]],
    ['extract', (image) => ['extract', image, 'ram', join(folder, 'out')]],
    ['send', (image) => ['send', image, TARGET]],
    ['receive', (image) => ['receive', `file:${image}`, join(folder, 'out')]],
  ];

  async function image(): Promise<string> {
    const path = join(folder, 'image');
    await writeImage(path, [{ id: 'ram', content: new Uint8Array(PAGE).fill(1) }]);
    return path;
  }

  test.each(commands)('of %s is left when Ctrl-C comes again', async (_, args) => {
    const running = stuck(...args(await image()));
    await running.said(/stuck/);
    // The system may make one signal of two that come at once.
    const again = setInterval(() => running.child.kill('SIGINT'), 50);
    const ended = await running.ended.finally(() => clearInterval(again));
    // What a shell reports as 130.
    expect(ended).toMatchObject({ status: null, signal: 'SIGINT' });
    expect(await readdir(folder)).not.toContain('out');
  });

  test('is left some time after the only Ctrl-C, and that is said', async () => {
    const running = stuck('extract', await image(), 'ram', join(folder, 'out'));
    await running.said(/stuck/);
    running.child.kill('SIGINT');
    const ended = await running.ended;
    expect(ended.signal).toBe('SIGINT');
    expect(errorsOf(ended)).toEqual(['ERR_CANCELLED']);
  });
});

/** More than connections and slots hold. */
const LARGE = 64 * MIB;

test('a file that is cut short while it is sent: the command fails, and its target', async () => {
  const file = join(folder, 'file');
  await writeFile(file, new Uint8Array(LARGE).fill(1));
  utimesSync(file, 1_000, 1_000);
  const sink = { write: () => truncateSync(file, PAGE), zero() {} };
  const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { file: sink } });
  const ended = await run('send', file, incoming.uri, '--json');
  expect({ status: ended.status, errors: errorsOf(ended) }).toEqual(REFUSED);
  const error = { code: 'ERR_IO', message: expect.stringContaining(file) };
  expect(resultOf(ended)).toMatchObject({ event: 'failed', error });
  await expect(incoming.completed).rejects.toMatchObject({ code: 'ERR_PEER_CLOSED' });
});
