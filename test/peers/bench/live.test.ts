import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { Series } from '../../../bench/live/table.ts';
import { temporaryFolder } from '../../support/command.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const run = promisify(execFile);

/** In small: each measurement compares what came with what left, and fails otherwise. */
test(
  'the bench of live migration measures each guest by each method, and says so in a table and ' +
    'in a file',
  async () => {
    await run('node', ['scripts/build.mjs', 'bench'], { cwd: ROOT });
    const file = join(await temporaryFolder(), 'results.json');
    const settings = [
      '--mib',
      '8',
      '--rounds',
      '1',
      '--rates',
      '1000',
      '--before',
      '50',
      '--json',
      file,
    ];
    const { stdout } = await run(process.execPath, [
      join(ROOT, 'build/bench/live.js'),
      ...settings,
    ]);

    const { series } = JSON.parse(await readFile(file, 'utf8')) as { series: Series[] };
    expect(series.map(({ measure: { guest, method } }) => `${guest} ${method}`)).toEqual([
      'synthetic naive',
      'synthetic compare',
      'synthetic hash',
      'synthetic bitmap',
      'sqlite naive',
      'sqlite compare',
      'sqlite hash',
    ]);
    for (const { measure, results } of series) {
      expect(results).toHaveLength(1);
      expect(results[0]!.downtime).toBeGreaterThan(0);
      expect(results[0]!.rounds > 0).toBe(measure.method !== 'naive');
      expect(stdout).toMatch(
        new RegExp(`^${measure.guest} 8 MiB +(1000|as it can) +${measure.method} `, 'm'),
      );
    }
  },
);
