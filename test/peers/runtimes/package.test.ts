import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Observed } from './entries/imports.ts';
import { bundleForProcess, install, type Installed } from './installed.ts';
import { RuntimeProcess } from './process-runtime.ts';

const LIMIT = 120_000;

let installed: Installed;

beforeAll(async () => {
  installed = install();
  await bundleForProcess(installed);
}, LIMIT);

afterAll(() => installed.remove());

/**
 * The ways of finding modules that a package of ES modules answers to; `require` in old Node, and
 * resolution without exports, are none of them.
 */
const RESOLUTIONS = ['node16-esm', 'bundler'];

/** What `npm run build` prints of what the entries weigh. */
function printedSizes(): string {
  return execFileSync(
    process.execPath,
    [fileURLToPath(new URL('../../../bench/sizes.mjs', import.meta.url))],
    { encoding: 'utf8' },
  ).trim();
}

test("the table of sizes is the build's, and a worker at the edge starts with at most 25 kB", () => {
  const printed = printedSizes();
  expect(readFileSync(new URL('../../../docs/sizes.md', import.meta.url), 'utf8')).toContain(
    printed,
  );
  const [, gzipped] = /when a worker starts \| [\d.]+ \| ([\d.]+) \|/.exec(printed)!;
  expect(Number(gzipped)).toBeLessThanOrEqual(25);
});

describe('the packed package', () => {
  test('publint has nothing to say', async () => {
    const { messages, pkg } = await publint({
      pkgDir: installed.package,
      strict: true,
      pack: false,
    });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
  });

  test('its types are those of its modules', async () => {
    const analysis = await checkPackage(
      createPackageFromTarballData(readFileSync(installed.tarball)),
    );
    expect(analysis.types).not.toBe(false);
    const problems = 'problems' in analysis ? analysis.problems : [];
    const own = problems.filter(
      (problem) => !('resolutionKind' in problem) || RESOLUTIONS.includes(problem.resolutionKind),
    );
    expect(own).toEqual([]);
  });
});

/** What a program in a browser makes of the package. */
const IN_BROWSER = `
import { ConnectionQueue, opfsImage, receive, send } from 'multifd/browser';
const folder = await navigator.storage.getDirectory();
const inbox = new ConnectionQueue();
await using incoming = await receive({ inbox, image: opfsImage(folder, 'image') });
for await (const { ram } of incoming.progress) console.log(ram.total);
const sending = send({ uri: 'ws://localhost/', image: await folder.getFileHandle('image') });
for await (const { ram } of sending.progress) console.log(ram.total);
console.log((await sending).confirmed);
`;

test('its types compile where there are neither those of Node nor those of newer standards', () => {
  const folder = join(installed.folder, 'types');
  mkdirSync(folder);
  writeFileSync(join(folder, 'main.ts'), IN_BROWSER);
  const compilerOptions = {
    target: 'es2022',
    lib: ['es2022', 'dom', 'dom.asynciterable'],
    module: 'esnext',
    moduleResolution: 'bundler',
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    types: [],
    noEmit: true,
  };
  const config = JSON.stringify({ compilerOptions, files: ['main.ts'] });
  writeFileSync(join(folder, 'tsconfig.json'), config);
  const compiler = fileURLToPath(new URL('../../../node_modules/.bin/tsc', import.meta.url));
  const { stdout } = spawnSync(compiler, ['-p', folder], { encoding: 'utf8' });
  expect(stdout).toBe('');
});

describe('importing does nothing but define things', () => {
  const ENTRIES = ['multifd', 'multifd/core', 'multifd/engine'];

  test.each(ENTRIES)('%s', async (entry) => {
    const { values, problem } = await new RuntimeProcess('node20', process.execPath, installed, [
      'imports.js',
      entry,
    ]).all<Observed>();
    expect(problem).toBeUndefined();
    expect(values).toEqual([{ resources: [], calls: [], globals: [] } satisfies Observed]);
  });
});
