import { execFile, execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { writeImage } from '../../support/image.ts';
import { randomBytes } from '../../support/random.ts';
import { run, temporaryFolder } from '../../support/command.ts';
import { fixture } from '../../support/recording.ts';

const COMMAND = fileURLToPath(new URL('../../../build/multifd.js', import.meta.url));
const COMMANDS = ['', 'send', 'receive', 'inspect', 'extract', 'record', 'replay', 'proxy'];
const COLUMNS = 80;
const PAGE = 4096;

const execute = promisify(execFile);

/** `script` of util-linux, which gives a command a terminal. */
const HAS_SCRIPT = ((): boolean => {
  try {
    return /util-linux/.test(execFileSync('script', ['--version'], { encoding: 'utf8' }));
  } catch {
    return false;
  }
})();

/** What a command prints on a terminal of 80 columns, in the lines that are left in the end. */
async function onTerminal(...args: readonly string[]): Promise<string[]> {
  const words = [process.execPath, COMMAND, ...args].map((word) => `'${word}'`).join(' ');
  const shell = `stty cols ${COLUMNS}; ${words}`;
  const { stdout } = await execute('script', ['-qc', shell, '/dev/null']);
  // A line that is drawn again begins with a return.
  const plain = stdout.replaceAll('\r\n', '\n').replaceAll('\x1b[1G', '\r');
  return plain.replace(/\x1b(?:\[[?\d;]*[A-Za-z]|[78])/g, '').split(/[\n\r]/);
}

const widest = (lines: readonly string[]): number =>
  Math.max(...lines.map((line) => [...line].length));

test.each([...COMMANDS, 'completion'])('the help of "%s" fits into 80 columns', async (command) => {
  const { stdout } = await run(...[command, '--help'].filter(Boolean));
  expect(stdout.split('\n').filter((line) => line.length > COLUMNS)).toEqual([]);
});

describe.runIf(HAS_SCRIPT)('on a terminal of 80 columns', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
    file = join(folder, 'file');
    await writeFile(file, randomBytes('terminal', 300 * PAGE));
  });

  test('a bar and one line show a migration, and a table with --verbose', async () => {
    const lines = await onTerminal('send', file, `file:${folder}/image`);
    expect(widest(lines)).toBeLessThanOrEqual(COLUMNS);
    expect(lines.some((line) => /^sending █*░* +\d+% .+ of 1\.2 MiB .+\/s/.test(line))).toBe(true);
    expect(lines.at(-2)).toMatch(/^sent 1\.2 MiB in 1 block, /);
    const table = await onTerminal('send', file, `file:${folder}/other`, '--verbose');
    expect(widest(table)).toBeLessThanOrEqual(COLUMNS);
    expect(table.some((line) => line.startsWith('│ channel 1 '))).toBe(true);
  });

  test('errors are broken between words', async () => {
    const lines = await onTerminal('send', '--chanels', '3', 'a', 'b');
    expect(widest(lines)).toBeLessThanOrEqual(COLUMNS);
    expect(lines.filter(Boolean).length).toBe(2);
    expect(lines.join(' ')).toContain('did you mean --channels?');
  });

  test('what is in an image or a recording fits, whatever the names', async () => {
    const image = join(folder, 'image');
    const blocks = [{ id: 'ram'.repeat(40), content: new Uint8Array(PAGE).fill(1) }];
    await writeImage(image, blocks);
    for (const path of [image, fixture('qemu-10.0-microvm-zlib')]) {
      for (const options of [[], ['--devices']]) {
        const lines = await onTerminal('inspect', path, ...options);
        const long = lines.filter((line) => line.length > COLUMNS && !line.includes(path));
        expect(long).toEqual([]);
      }
    }
  });
});

test.each([
  ['a command', ['sedn', 'a', 'b'], 'did you mean send?'],
  ['an option', ['send', '--chanels', '3', 'a', 'b'], 'did you mean --channels?'],
])('a mistyped %s is guessed in one line without an escape', async (_, args, guess) => {
  const { status, stderr } = await run(...args);
  expect(status).toBe(2);
  expect(stderr).toMatch(/^[^\\\n]+\n$/);
  expect(stderr).toContain(guess);
});

test('an output that is there is named, and so is the option that helps', async () => {
  const folder = await temporaryFolder();
  const there = join(folder, 'there');
  await writeFile(there, 'x');
  for (const args of [
    ['send', there, `file:${there}`],
    ['receive', 'tcp:127.0.0.1:0', there],
  ]) {
    const { status, stderr } = await run(...args);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^multifd: ERR_EXISTS: \S+there is there already; .*--force/);
  }
});
