import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('a guest of several threads moves while they work', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [new URL('../../build/threads.js', import.meta.url).pathname, '8']);
  expect(stdout).toMatch(/^3 threads work on 8 MiB of shared memory\nround 1: 2048 pages looked at, 2048 sent/);
  expect(stdout).toMatch(/stood still for [\d.]+ ms, in pass \d+, \d+, \d+; pages with a wrong count there: 0\n/);
  expect(stdout).toMatch(/went on there to pass \d+, \d+, \d+; pages with a wrong count: 0\n$/);
});
