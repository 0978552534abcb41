import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { errorsOf, run, temporaryFolder } from '../../support/command.ts';

const execute = promisify(execFile);

const installed = (shell: string): Promise<boolean> =>
  execute(shell, ['-c', 'true']).then(
    () => true,
    () => false,
  );
const [BASH, ZSH, FISH] = await Promise.all(['bash', 'zsh', 'fish'].map(installed));

/** What a line is completed to, and what its last word has to be among; sorted. */
const CASES: readonly [string[], string[]][] = [
  [['s'], ['send']],
  [['re'], ['receive', 'record', 'replay']],
  [['send', '--zero'], ['--zero-page-detection']],
  [
    ['send', '--zero-page-detection', ''],
    ['legacy', 'multifd', 'none'],
  ],
  [
    ['receive', '--compression', 'z'],
    ['zlib', 'zstd'],
  ],
  [
    ['completion', ''],
    ['bash', 'fish', 'zsh'],
  ],
];

const scripts = new Map<string, string>();
async function scriptFor(shell: string): Promise<string> {
  const script = scripts.get(shell) ?? (await run('completion', shell)).stdout;
  scripts.set(shell, script);
  return script;
}

describe.runIf(BASH)('bash', () => {
  const complete = async (words: readonly string[], cwd?: string): Promise<string[]> => {
    const set = 'COMP_WORDS=(multifd "$@"); COMP_CWORD=$#';
    const asked = `${set}; _multifd; for one in "$\{COMPREPLY[@]}"; do echo "$one"; done`;
    const args = ['-c', `${await scriptFor('bash')}\n${asked}`, 'bash', ...words];
    const { stdout } = await execute('bash', args, { cwd });
    return stdout.split('\n').filter(Boolean).sort();
  };

  test.each(CASES)('%j is completed to %j', async (words, found) => {
    expect(await complete(words)).toEqual(found);
  });

  test('files are, where files are taken', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'guest with blanks.mapped'), '');
    for (const before of [['inspect'], ['send', '--token-file'], ['send', '--channels', '2']])
      expect(await complete([...before, 'gue'], folder)).toEqual(['guest with blanks.mapped']);
    expect(await complete(['send', '--channels', 'gue'], folder)).toEqual([]);
  });
});

test.runIf(ZSH)('zsh can read its script', async () => {
  await execute('zsh', ['-f', '-n', '-c', await scriptFor('zsh')]);
});

describe.runIf(FISH)('fish', () => {
  test.each(CASES)('%j is completed to %j', async (words, found) => {
    const asked = `complete -C ${JSON.stringify(`multifd ${words.join(' ')}`)}`;
    const home = await temporaryFolder();
    const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: home };
    const args = ['-c', `${await scriptFor('fish')}\n${asked}`];
    const { stdout } = await execute('fish', args, { env });
    const names = stdout.split('\n').map((line) => line.split('\t')[0]!);
    expect(names.filter(Boolean).sort()).toEqual(found);
  });
});

test('every option of every command is in each script', async () => {
  const { stdout } = await run('send', '--help');
  const options = [...stdout.matchAll(/^ {2}(?:-\w, )?--([\w-]+)/gm)].map(([, name]) => name!);
  expect(options.length).toBeGreaterThan(20);
  for (const shell of ['bash', 'zsh', 'fish'])
    for (const option of options) expect(await scriptFor(shell)).toContain(option);
});

test('an unknown shell is refused', async () => {
  const ended = await run('completion', 'tcsh');
  expect({ status: ended.status, errors: errorsOf(ended) }).toEqual({
    status: 2,
    errors: ['ERR_OPTION'],
  });
});
