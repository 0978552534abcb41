import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Observed } from './entries/imports.ts';
import { bundleForProcess, install, type Installed } from './installed.ts';
import { RuntimeProcess } from './process-runtime.ts';

const LIMIT = 120_000;

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const git = (...args: string[]): string =>
  execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' });

interface Packed {
  unpackedSize: number;
  files: { path: string }[];
}

interface Manifest {
  exports: unknown;
  bin: unknown;
}

let installed: Installed;

beforeAll(async () => {
  installed = install();
  await bundleForProcess(installed);
}, LIMIT);

afterAll(() => installed.remove());

/** CommonJS gets ES modules: by import(), and by require() from Node 20.19 on. */
const KNOWN = ['CJSResolvesToESM'];

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
    // Parcel's defaults find a page's build only there.
    const own = messages.filter(({ code }) => code !== 'USE_EXPORTS_BROWSER');
    expect(own.map((message) => formatMessage(message, pkg))).toEqual([]);
  });

  test('its types are those of its modules', async () => {
    const analysis = await checkPackage(
      createPackageFromTarballData(readFileSync(installed.tarball)),
    );
    expect(analysis.types).not.toBe(false);
    const problems = 'problems' in analysis ? analysis.problems : [];
    const own = problems.filter(({ kind }) => !KNOWN.includes(kind));
    expect(own).toEqual([]);
  });
});

/** Runs in a copy of what the repository holds, so that no build of ours is touched. */
test(
  'npm pack builds what it packs: no more than 2 MB, no source maps, all that is linked',
  () => {
    const copy = join(installed.folder, 'repository');
    const files = git('ls-files', '-z', '--cached', '--others', '--exclude-standard').split('\0');
    for (const name of files.filter((name) => name !== '' && existsSync(join(ROOT, name)))) {
      mkdirSync(dirname(join(copy, name)), { recursive: true });
      copyFileSync(join(ROOT, name), join(copy, name));
    }
    for (const folder of ['.', 'scripts/api'])
      symlinkSync(join(ROOT, folder, 'node_modules'), join(copy, folder, 'node_modules'));
    const args = ['pack', '--json', '--loglevel=error', '--pack-destination', installed.folder];
    const stdout = execFileSync('npm', args, { cwd: copy, encoding: 'utf8' });
    const [packed] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [Packed];
    // What npm itself prints as 2.0 MB.
    expect(packed.unpackedSize).toBeLessThan(2_050_000);
    const names = packed.files.map(({ path }) => path);
    expect(names.filter((name) => name.endsWith('.map'))).toEqual([]);
    const scripts = names.filter((name) => /\.m?js$/.test(name));
    const mapped = scripts.filter((name) =>
      readFileSync(join(copy, name), 'utf8').includes('# sourceMappingURL='),
    );
    expect(mapped).toEqual([]);
    const { exports, bin } = JSON.parse(
      readFileSync(join(copy, 'package.json'), 'utf8'),
    ) as Manifest;
    const entries = JSON.stringify([exports, bin]).matchAll(/"(?:\.\/)?(build\/[^"]+)"/g);
    const missing = [...entries].map(([, path]) => path!).filter((path) => !names.includes(path));
    expect(missing).toEqual([]);
  },
  LIMIT,
);

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
