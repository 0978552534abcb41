import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { writeImage } from '../../support/image.ts';
import { randomBytes } from '../../support/random.ts';
import { errorsOf, run, runPiped, startPiped, temporaryFolder } from '../../support/command.ts';

const PAGE = 4096;
const NOTHING = new Uint8Array(0);

let folder: string;
let image: string;
/** 60 pages and a part of one; some of them zero. */
let content: Uint8Array;
/** Where temporary files are made. */
let temporary: Readonly<Record<string, string>>;

beforeEach(async () => {
  folder = await temporaryFolder();
  temporary = { TMPDIR: await temporaryFolder() };
  image = join(folder, 'image');
  content = new Uint8Array(60 * PAGE + 123);
  content.set(randomBytes('standard', 40 * PAGE), 10 * PAGE);
  content.fill(9, 60 * PAGE);
  await writeFile(join(folder, 'file'), content);
  await run('send', join(folder, 'file'), `file:${image}`);
});

/** Bytes as a command prints them. */
const printed = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

describe('- for an output', () => {
  test("extract writes the block's bytes, and its words to stderr", async () => {
    const { status, stdout, stderr } = await runPiped(
      NOTHING,
      temporary,
      'extract',
      image,
      'file',
      '-',
    );
    expect(status).toBe(0);
    expect(stdout).toBe(printed(content));
    expect(stderr).toBe(`file: ${content.length} bytes (240 KiB) to standard output\n`);
    expect(await readdir(temporary['TMPDIR']!)).toEqual([]);
  });

  test('receive writes them once all are there, whatever the order of the pages', async () => {
    const receiver = startPiped(temporary, 'receive', 'tcp://127.0.0.1:0', '-', '--channels', '3');
    const uri = await receiver.said(/^listening on (tcp:\S+)\n/m);
    const sent = await run('send', image, uri, '--channels', '3');
    expect(sent).toMatchObject({ status: 0 });
    const { status, stdout, stderr } = await receiver.ended;
    expect(status).toBe(0);
    expect(stdout).toBe(printed(content));
    expect(stderr).toMatch(/^received 244 KiB in 1 block/m);
    expect(await readdir(temporary['TMPDIR']!)).toEqual([]);
  });

  test('receive has to be told which of several blocks', async () => {
    const blocks = [
      { id: 'a', content: new Uint8Array(PAGE).fill(1) },
      { id: 'b', content: content.slice(0, 20 * PAGE) },
    ];
    await writeImage(image, blocks, { force: true });
    const unclear = await run('receive', `file:${image}`, '-');
    expect({ status: unclear.status, errors: errorsOf(unclear) }).toEqual({
      status: 1,
      errors: ['ERR_NO_BLOCK'],
    });
    expect(unclear.stderr).toContain('a, b: --block says which');
    const chosen = await runPiped(NOTHING, {}, 'receive', `file:${image}`, '-', '--block', 'b');
    expect(chosen).toMatchObject({ status: 0, stdout: printed(content.slice(0, 20 * PAGE)) });
    const missing = await run('receive', `file:${image}`, '-', '--block', 'c');
    expect(missing.stderr).toContain('there is no block c');
  });

  test.each([
    ['extract', () => ['extract', image, 'file', '-', '--json']],
    ['receive', () => ['receive', `file:${image}`, '-', '--json']],
  ])('%s writes no JSON to the same place', async (_, args) => {
    const ended = await run(...args());
    expect({ status: ended.status, errors: errorsOf(ended) }).toEqual({
      status: 2,
      errors: ['ERR_OPTION'],
    });
  });
});

describe('- for a source', () => {
  test.each([
    ['a plain file', () => content, [], 'stdin'],
    ['one with a name', () => content, ['--block', 'disk'], 'disk'],
    ['nothing', () => new Uint8Array(0), [], 'stdin'],
    ['an image', () => readFile(image), [], 'file'],
  ])('%s comes through a pipe', async (what, bytes, options, block) => {
    const copy = join(folder, 'copy');
    const sent = await runPiped(await bytes(), temporary, 'send', '-', `file:${copy}`, ...options);
    expect(sent).toMatchObject({ status: 0, stderr: '' });
    const expected = what === 'nothing' ? '' : printed(content);
    const found = await runPiped(NOTHING, {}, 'extract', copy, block, '-', '--quiet');
    expect(found).toMatchObject({ status: 0, stdout: expected, stderr: '' });
    expect(await readdir(temporary['TMPDIR']!)).toEqual([]);
  });

  test('a stream that is no image is refused, and sent with --raw', async () => {
    const stream = Buffer.from('QEVM and noise');
    const to = `file:${folder}/copy`;
    expect((await runPiped(stream, {}, 'send', '-', to)).stderr).toMatch(
      /^multifd: ERR_UNSUPPORTED: standard input begins with QEVM.*--raw/,
    );
    expect(await runPiped(stream, {}, 'send', '-', to, '--raw')).toMatchObject({ status: 0 });
  });

  test('interrupted while it waits for more, it ends and leaves nothing', async () => {
    const sender = startPiped(temporary, 'send', '-', `file:${folder}/copy`);
    // It takes more than the pipe can hold: so it is at work.
    const more = new Uint8Array(2 ** 20);
    await new Promise((resolve) => sender.child.stdin!.write(more, resolve));
    sender.child.kill('SIGINT');
    expect(await sender.ended).toMatchObject({ status: 130 });
    expect(await readdir(temporary['TMPDIR']!)).toEqual([]);
    expect((await readdir(folder)).sort()).toEqual(['file', 'image']);
  });
});

test('inspect takes no -: it reads here and there', async () => {
  const ended = await runPiped(content, temporary, 'inspect', '-');
  expect(ended.status).toBe(2);
  expect(errorsOf(ended)).toEqual(['ERR_OPTION']);
});
