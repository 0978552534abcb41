import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const run = promisify(execFile);
const at = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** What the package may spend on its reference. */
const MOST_BYTES = 130_000;

/** A folder's files with their content. */
async function contentOf(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort();
  const texts = names.map((name) => readFile(join(folder, name), 'utf8'));
  return Object.fromEntries((await Promise.all(texts)).map((text, index) => [names[index], text]));
}

describe('the reference in docs/api', () => {
  let made: string;

  beforeAll(async () => {
    made = await mkdtemp(join(tmpdir(), 'multifd-api-'));
    // A type that no entry exports, or a link that leads nowhere, is an error.
    await run('node_modules/.bin/typedoc', ['--options', 'typedoc.json', '--out', made], {
      cwd: at('scripts/api'),
    });
  });
  afterAll(() => rm(made, { recursive: true }));

  test('says what the docstrings say: else run `npm run docs:api`', async () => {
    expect(await contentOf(at('docs/api'))).toEqual(await contentOf(made));
  });

  test('is small', async () => {
    const bytes = Object.values(await contentOf(at('docs/api'))).map((text) =>
      Buffer.byteLength(text),
    );
    expect(bytes.reduce((sum, more) => sum + more, 0)).toBeLessThan(MOST_BYTES);
  });
});
