import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { runtime } from './runtime.ts';

test('a store in shared memory moves from one Bun process to another while it is written to', async () => {
  const { stdout, stderr } = await promisify(execFile)(runtime('bun'), [
    new URL('../../../examples/bun/main.ts', import.meta.url).pathname,
  ]);
  expect(stderr).toBe('');
  expect(stdout).toMatch(
    /^moved in \d+ rounds, \d+ pages; stood still for [\d.]+ ms after (\d+) visits of \d+ visitors\n\1 visits have come, and all of them are in the store\n/,
  );
  expect(stdout).toMatch(
    /\n10000 more have been counted here, and all of them are in the store\n$/,
  );
});
