import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
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
