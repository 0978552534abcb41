import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { TrackerState } from '../../../bench/lib/keep.ts';
import { temporaryFolder } from '../../support/command.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const run = promisify(execFile);

/**
 * In small: that each part measures what is installed here, and checks what it has done; nothing
 * depends on how long that takes.
 */
test('the bench measures every part, says so in a report, in a file and in a chart, and says what ' +
  'it left out', async () => {
  await run('node', ['scripts/build.mjs', 'bench'], { cwd: ROOT });
  const out = await temporaryFolder();
  const bench = (...args: string[]): Promise<{ stdout: string }> =>
    run(process.execPath, [
      join(ROOT, 'build/bench/main.js'),
      '--quick',
      '--rounds',
      '1',
      '--out',
      out,
      ...args,
    ]);

  await bench('--only', 'core');
  const { stdout } = await bench('--only', 'migration,files,engine,growth');
  const { parts } = JSON.parse(await readFile(join(out, 'bench.json'), 'utf8')) as TrackerState;
  expect(parts.map(({ name }) => name)).toEqual(['migration', 'files', 'core', 'engine', 'growth']);
  for (const { title, series, leftOut, name } of parts) {
    expect(series.length).toBeGreaterThan(0);
    for (const { samples } of series)
      expect(Object.values(samples[0]!).every(Number.isFinite)).toBe(true);
    if (name !== 'core')
      for (const line of [`== ${title}`, ...leftOut.map((what) => `left out: ${what}`)])
        expect(stdout).toContain(line);
  }
  // What needs nothing but Node is measured everywhere.
  const contenders = parts.flatMap(({ series }) => series.map(({ contender }) => contender));
  expect(contenders).toEqual(
    expect.arrayContaining([
      'multifd',
      'Node, one socket',
      'cp',
      'core on Node',
      'JavaScript on Node',
      'engine',
      'postMessage, transfer',
    ]),
  );
  const chart = await readFile(join(out, 'bench.svg'), 'utf8');
  const bars = parts
    .flatMap(({ verdicts }) => verdicts)
    .filter(({ headline, over }) => headline !== undefined && over !== undefined);
  expect(chart.match(/<rect /g) ?? []).toHaveLength(bars.length);
}, 300_000);

test('what is not there to be measured is wrong usage', async () => {
  const failed = run(process.execPath, [join(ROOT, 'build/bench/main.js'), '--only', 'speed']);
  await expect(failed).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('there is no speed'),
  });
});
