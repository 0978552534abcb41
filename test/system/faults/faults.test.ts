import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { SEED } from '../../support/random.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const MAIN = join(ROOT, 'build/faults/main.js');
const run = promisify(execFile);

interface Ended {
  code?: number;
  stdout: string;
  stderr: string;
}

const main = (...args: string[]): Promise<Ended> =>
  run(process.execPath, [MAIN, ...args]).catch((error: Ended) => error);

test(`a short run of the harness finds no fault, SEED ${SEED}`, async () => {
  await run('node', ['scripts/build.mjs', 'faults'], { cwd: ROOT });
  const { stdout, stderr } = await main('--short', '--seed', String(SEED));
  expect(stderr).toBe('');
  expect(stdout).toContain(`seed ${SEED}; 0 faults found in `);
  // Something of everything was run.
  const [, ...rows] = stdout.trim().split('\n').slice(0, -2);
  const counts = rows.map((row) => row.trim().split(/ {2,}/));
  for (const [name, executions] of counts) {
    expect([name, Number(executions) > 0]).toEqual([name, true]);
  }
  const inAll = counts.at(-1)!;
  expect(inAll[0]).toBe('in all');
  for (const count of inAll.slice(1, -1)) expect(Number(count)).toBeGreaterThan(0);
}, 300_000);
