import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { randomBytes } from '../../support/random.ts';
import { errorsOf, run, start, startReceiver, temporaryFolder } from '../../support/command.ts';
import { rangeServer } from '../../support/range-server.ts';

const PAGE = 4096;

let folder: string;
let image: string;

/** An image of a file with 300 pages, 100 of them zero, and 7 bytes more. */
beforeEach(async () => {
  folder = await temporaryFolder();
  image = join(folder, 'image');
  const content = new Uint8Array(300 * PAGE + 7);
  content.set(randomBytes('image', 200 * PAGE), 50 * PAGE);
  content.fill(1, 300 * PAGE);
  await writeFile(join(folder, 'source.bin'), content);
  expect(await run('send', join(folder, 'source.bin'), `file:${image}`)).toMatchObject({
    status: 0,
    stderr: '',
  });
});

/** The text's tables and facts, by the first word or words of each line. */
function linesOf(stdout: string): Map<string, string[]> {
  return new Map(
    stdout
      .split('\n')
      .map((line) => line.split(/ {2,}/))
      .map(([name, ...cells]) => [name!, cells]),
  );
}

describe('inspect', () => {
  test('tells blocks, pages, sizes, machine type and sections', async () => {
    const { status, stdout } = await run('inspect', image);
    expect(status).toBe(0);
    const lines = linesOf(stdout);
    expect(lines.get('block')).toEqual(['bytes', 'used length', 'pages', 'present', 'zero']);
    expect(lines.get('source.bin')).toEqual([
      String(300 * PAGE + 7),
      String(301 * PAGE),
      '301',
      '201',
      '100',
    ]);
    expect(lines.get('machine type')).toEqual(['none']);
    expect(lines.get('capabilities')).toEqual(['mapped-ram']);
    expect(lines.get('multifd/file-length')).toEqual(['0', '1', '8']);
    const { size, blocks } = await stat(image);
    expect(lines.get('file size')![0]).toMatch(new RegExp(`^${size} bytes`));
    expect(lines.get('size on disk')![0]).toMatch(new RegExp(`^${blocks * 512} bytes`));
  });

  test('finds an image at an offset in a file', async () => {
    const shifted = join(folder, 'shifted');
    expect(
      await run('send', join(folder, 'source.bin'), `file:${shifted},offset=8192`),
    ).toMatchObject({ status: 0 });
    expect(await run('inspect', shifted)).toMatchObject({ status: 1 });
    const { stdout } = await run('inspect', shifted, '--offset', '8K', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ totals: { present: 201, zero: 100 } });
    expect(
      await run('extract', shifted, 'source.bin', join(folder, 'copy'), '--offset', '8192'),
    ).toMatchObject({ status: 0 });
    expect(
      Buffer.compare(
        await readFile(join(folder, 'copy')),
        await readFile(join(folder, 'source.bin')),
      ),
    ).toBe(0);
  });

  test('a URL is looked into, extracted from and sent as the file is', async () => {
    const { url } = await rangeServer(await readFile(image));
    const { stdout } = await run('inspect', url);
    expect(linesOf(stdout).get('size on disk')).toEqual(['not on a disk of this machine']);
    expect(linesOf(stdout).get('source.bin')).toEqual([
      String(300 * PAGE + 7),
      String(301 * PAGE),
      '301',
      '201',
      '100',
    ]);
    expect(await run('extract', url, 'source.bin', join(folder, 'copy'))).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(
      Buffer.compare(
        await readFile(join(folder, 'copy')),
        await readFile(join(folder, 'source.bin')),
      ),
    ).toBe(0);
    const { receiver, uri } = await startReceiver('tcp:127.0.0.1:0', join(folder, 'received'));
    expect(await run('send', url, uri)).toMatchObject({ status: 0, stderr: '' });
    expect(await receiver.ended).toMatchObject({ status: 0 });
    expect(Buffer.compare(await readFile(join(folder, 'received')), await readFile(image))).toBe(0);
  });

  test('a block name cannot steer the terminal', async () => {
    // A control sequence introducer of one character, and one that turns the reading direction
    // around.
    const name = 'ram\u009b2J\u202egnp';
    await writeFile(join(folder, name), 'x');
    await run('send', join(folder, name), `file:${image}`, '--force');
    const { stdout } = await run('inspect', image);
    expect(stdout).toContain('ram\\u{9b}2J\\u{202e}gnp');
    expect(stdout).not.toMatch(/[\u009b\u202e]/);
    const { stderr } = await run('extract', image, 'other', join(folder, 'copy'));
    expect(stderr).toContain('ram\\u{9b}2J\\u{202e}gnp');
    expect(stderr).not.toMatch(/[\u009b\u202e]/);
  });
});

describe('an image as a source', () => {
  test('sent over sockets, it arrives as the same image', async () => {
    const copy = join(folder, 'copy');
    const { receiver, uri } = await startReceiver('tcp:127.0.0.1:0', copy, '--channels', '3');
    expect(await run('send', image, uri, '--channels', '3')).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(await receiver.ended).toMatchObject({ status: 0, stderr: '' });
    expect(Buffer.compare(await readFile(copy), await readFile(image))).toBe(0);
  });

  test('received from a file: URI, it is copied', async () => {
    const copy = join(folder, 'copy');
    expect(await run('receive', `file:${image}`, copy)).toMatchObject({ status: 0, stderr: '' });
    expect(Buffer.compare(await readFile(copy), await readFile(image))).toBe(0);
  });

  test('at an offset, it is received from there', async () => {
    const shifted = join(folder, 'shifted');
    const copy = join(folder, 'copy');
    expect(
      await run('send', join(folder, 'source.bin'), `file:${shifted},offset=0x2000`),
    ).toMatchObject({ status: 0 });
    expect(await run('receive', `file:${shifted},offset=0x2000`, copy)).toMatchObject({
      status: 0,
    });
    await run('extract', copy, 'source.bin', join(folder, 'again'));
    expect(
      Buffer.compare(
        await readFile(join(folder, 'again')),
        await readFile(join(folder, 'source.bin')),
      ),
    ).toBe(0);
  });

  test.each([
    ['nothing but the magic', Buffer.from('QEVM')],
    ['the magic and then noise', Buffer.concat([Buffer.from('QEVM'), randomBytes('magic', 9000)])],
    [
      'a stream that is no mapped-ram image',
      Buffer.from('5145564d 00000003 07 00000004 6e6f6e65 01'.replaceAll(' ', ''), 'hex'),
    ],
    ['the magic of a libvirt save file', Buffer.from('LibvirtQemudSave and more')],
  ])('a file with %s is sent as bytes with --raw only', async (_, content) => {
    const source = join(folder, 'stream');
    await writeFile(source, content);
    const refused = await run('send', source, `file:${image}`, '--force');
    expect({ status: refused.status, errors: errorsOf(refused) }).toEqual({
      status: 1,
      errors: ['ERR_UNSUPPORTED'],
    });
    expect(refused.stderr).toMatch(/stream (?:begins with QEVM|is a libvirt save file).*--raw/);
    expect(await run('send', source, `file:${image}`, '--force', '--raw')).toMatchObject({
      status: 0,
    });
    expect(await run('extract', image, 'stream', join(folder, 'copy'))).toMatchObject({
      status: 0,
    });
    expect(Buffer.compare(await readFile(join(folder, 'copy')), content)).toBe(0);
  });
});

describe('without --json', () => {
  test('a migration ends with one line on stdout, and tells where it listens on stderr', async () => {
    const receiver = start('receive', 'tcp:127.0.0.1:0', join(folder, 'copy'));
    const uri = await receiver.said(/^listening on (tcp:\S+)\n/m);
    const sent = await run('send', image, uri);
    const summary =
      /^(?:sent|received) 1\.2 MiB in 1 block, \d+\.\d\d s \(setup \d+\.\d\d s\), [\d.]+ [KMG]?i?B\/s\n$/;
    for (const { status, stdout } of [sent, await receiver.ended]) {
      expect(status).toBe(0);
      expect(stdout).toMatch(summary);
    }
    expect(sent.stderr).toBe('');
  });

  test('with --verbose, a table by channel comes before it', async () => {
    const sent = await run('send', image, `file:${folder}/copy`, '--verbose');
    const names = ['', 'channel 0', 'channel 1', 'main', 'total'];
    const lines = linesOf(sent.stdout);
    expect([...lines.keys()].slice(0, 5)).toEqual(names);
    expect(lines.get('total')!.slice(-2)).toEqual(['201', '100']);
    expect(sent.stdout.split('\n').at(-2)).toMatch(/^sent 1\.2 MiB/);
  });

  test('with --quiet, nothing at all is said', async () => {
    expect(await run('send', image, `file:${folder}/copy`, '--quiet')).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '',
    });
    expect(await run('extract', image, 'source.bin', `${folder}/out`, '--quiet')).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });
});
