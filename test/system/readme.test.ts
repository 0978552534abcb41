import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const run = promisify(execFile);
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const examples = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code!);

/**
 * Each JavaScript example of the README, run as a program of its own, prints what the README says
 * it prints.
 */
describe('the README', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'multifd-readme-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('has an example for each level', () => {
    expect(examples.map((code) => /from '(multifd[^']*)'/.exec(code)?.[1])).toEqual([
      'multifd',
      'multifd',
      'multifd/engine',
      'multifd/core',
    ]);
  });

  test.each(examples.map((code, index) => [index + 1, code] as const))(
    'example %i runs as it stands',
    async (index, code) => {
      const expected = [...code.matchAll(/^\/\/ prints: (.*)$/gm)]
        .map(([, line]) => line)
        .join('\n');
      expect(expected).not.toBe('');
      const program = join(folder, `example-${index}.mjs`);
      const built = (name: string): string =>
        new URL(
          `../../build/${name === 'multifd' ? 'index' : name.slice('multifd/'.length)}.js`,
          import.meta.url,
        ).href;
      await writeFile(
        program,
        code.replaceAll(/from '(multifd[^']*)'/g, (_, name: string) => `from '${built(name)}'`),
      );
      const { stdout } = await run(process.execPath, [program]);
      expect(stdout.trim()).toBe(expected);
    },
  );
});
