import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const run = promisify(execFile);

/** The JavaScript examples of a document. */
function examplesOf(document: string): string[] {
  const text = readFileSync(new URL(`../../${document}`, import.meta.url), 'utf8');
  return [...text.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code!);
}

const EXAMPLES = ['README.md', 'docs/library.md'].flatMap((document) =>
  examplesOf(document).map((code, index) => [document, index + 1, code] as const),
);

/**
 * Each JavaScript example of the README and of docs/library.md, run as a program of its own, prints
 * what it says it prints.
 */
describe('the README', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'multifd-readme-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('and docs/library.md have an example for each level', () => {
    const entries = EXAMPLES.map(([, , code]) => /from '(multifd[^']*)'/.exec(code)?.[1]);
    expect([...new Set(entries)]).toEqual(['multifd', 'multifd/engine', 'multifd/core']);
  });

  test.each(EXAMPLES)('%s: example %i runs as it stands', async (document, index, code) => {
    const expected = [...code.matchAll(/^\/\/ prints: (.*)$/gm)].map(([, line]) => line).join('\n');
    expect(expected).not.toBe('');
    const program = join(folder, `${basename(document)}-${index}.mjs`);
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
  });
});
