import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../support/command.ts';

const DEMO = fileURLToPath(new URL('../../../build/loopback.js', import.meta.url));

/** Starts the demo with a folder of its own for temporary files. */
function startDemo(folder: string) {
  const child = spawn(process.execPath, [DEMO], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: folder },
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const output = { text: '' };
  child.stderr.resume();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.text += text;
  });
  return { child, output, closed: once(child, 'close') };
}

test('the demo moves the running Node binary, says that both ends are the same, and clears up', async () => {
  const folder = await temporaryFolder();
  const { output, closed } = startDemo(folder);
  expect(await closed).toEqual([0, null]);
  const hashes = [
    ...output.text.matchAll(/^SHA-256 of what was (?:sent|received): +([0-9a-f]{64})$/gm),
  ].map(([, hash]) => hash);
  expect(hashes).toHaveLength(2);
  expect(hashes[0]).toBe(hashes[1]);
  expect(output.text).toMatch(/^channel 3 /m);
  expect(output.text).toMatch(/\d s \(setup/);
  expect(await readdir(folder)).toEqual([]);
});

test('the demo clears up when it is interrupted, and does not claim success', async () => {
  const folder = await temporaryFolder();
  const { child, output, closed } = startDemo(folder);
  while (!output.text.includes('$ multifd send')) await once(child.stdout, 'data');
  child.kill('SIGINT');
  expect(await closed).toEqual([1, null]);
  expect(output.text).not.toContain('SHA-256');
  expect(await readdir(folder)).toEqual([]);
});
