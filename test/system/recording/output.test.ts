/**
 * What a process leaves of a recording that is killed, and that the next one of the same name finds
 * and clears away.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OutputFolder } from '../../../src/recording/output-folder.ts';
import { watchOperations } from '../../support/file-operations.ts';
import { run } from '../../support/command.ts';
import { whichOutput, writeOutput } from '../../support/recording-output.ts';
import { copyOf } from '../../support/recording.ts';

let folder: string;
let child: string;
let folders = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'multifd-test-'));
  child = join(folder, 'child.mjs');
  const entry = fileURLToPath(new URL('./output-child.ts', import.meta.url));
  await build({
    entryPoints: [entry],
    outfile: child,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'es2022',
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function freshFolder(): Promise<string> {
  const path = join(folder, String(folders++));
  await mkdir(path);
  return path;
}

/**
 * Runs a process that writes a recording, and is killed before an operation; gives whether it came
 * to its end before.
 */
async function write(path: string, what: string, force: boolean, killAt = 0): Promise<boolean> {
  const running = spawn(
    process.execPath,
    [child, path, what, force ? 'force' : '', String(killAt)],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const [status, signal] = (await once(running, 'exit')) as [number | null, string | null];
  if (status !== 0) expect(signal).toBe('SIGKILL');
  return status === 0;
}

describe('a process that is killed at each operation', () => {
  test.each([
    ['of a recording', false, ['absent', 'new']],
    ['of one that replaces another', true, ['new', 'old']],
  ])('%s', async (_what, force, expected) => {
    const outcomes = new Set<string>();
    let over = false;
    const killAt = async (operation: number): Promise<void> => {
      const where = await freshFolder();
      const path = join(where, 'rec');
      if (force) await writeOutput(path, 'old', false);
      const done = await write(path, 'new', force, operation);
      over ||= done;
      const bare = (await readdir(where)).includes('rec') ? 'there' : 'absent';
      const found = await whichOutput(path, 'old', 'new');
      outcomes.add(found);
      // For a moment neither has the name, and who looks for it gives it to the new one.
      if (force && bare === 'absent') expect(found).toBe('new');
      // The next one leaves nothing of those that are gone.
      await writeOutput(path, 'next', true);
      expect(await whichOutput(path, 'next'), `killed at operation ${operation}`).toBe('next');
      expect(await readdir(where), `killed at operation ${operation}`).toEqual(['rec']);
    };
    for (let operation = 1; !over; operation += 4)
      await Promise.all([0, 1, 2, 3].map((more) => killAt(operation + more)));
    expect([...outcomes].sort()).toEqual(expected);
  });
});

/** Fails from the second renaming on, before which neither has the name. */
function failBetweenRenamings(): Promise<() => void> {
  let renamed = 0;
  return watchOperations(({ name }) => {
    if (name === 'rename') renamed++;
    if (renamed > 2) throw Object.assign(new Error('EIO: made by the test'), { code: 'EIO' });
  });
}

/** A recording that is no longer there, as it was to be replaced; the new one is not there yet. */
async function cutOff(): Promise<{ where: string; path: string }> {
  const where = await freshFolder();
  const path = join(where, 'rec');
  await writeOutput(path, 'old', false);
  const end = await failBetweenRenamings();
  await writeOutput(path, 'new', true)
    .catch(() => undefined)
    .finally(end);
  const names = (await readdir(where)).map((name) => name.slice(name.lastIndexOf('.'))).sort();
  expect(names).toEqual(['.new', '.old']);
  return { where, path };
}

/** Gives the name to a recording that somebody else has written. */
async function writeElsewhere(path: string, what: string): Promise<void> {
  const elsewhere = join(await freshFolder(), 'rec');
  await writeOutput(elsewhere, what, false);
  await rename(elsewhere, path);
}

describe('a recording whose replacing was cut off', () => {
  test('is there for a recorder that would not replace it', async () => {
    const { path, where } = await cutOff();
    await expect(OutputFolder.create(path, false)).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    expect(await whichOutput(path, 'old', 'new')).toBe('new');
    expect(await readdir(where)).toEqual(['rec']);
  });

  test('is there for multifd inspect', async () => {
    const { path, where } = await cutOff();
    const hidden = (await readdir(where)).find((name) => name.endsWith('.new'))!;
    await rm(join(where, hidden), { recursive: true });
    await copyOf('qemu-7.2-pc', join(where, hidden));
    const { status, stdout } = await run('inspect', path);
    expect({ status, stdout }).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('pc.ram'),
    });
    expect(await readdir(where)).toEqual(['rec']);
  });

  test('is the last one of several', async () => {
    const { path, where } = await cutOff();
    // Somebody else's takes the name, and is being replaced in turn.
    await writeElsewhere(path, 'third');
    const end = await failBetweenRenamings();
    await expect(writeOutput(path, 'later', true).finally(end)).rejects.toMatchObject({
      code: 'ERR_IO',
    });
    expect(await whichOutput(path, 'new', 'third', 'later')).toBe('later');
    await writeOutput(path, 'next', true);
    expect(await readdir(where)).toEqual(['rec']);
  });

  test('does not come back once another has the name', async () => {
    const { path, where } = await cutOff();
    await writeElsewhere(path, 'third');
    await writeOutput(path, 'next', true);
    await rm(path, { recursive: true });
    expect(await whichOutput(path, 'new', 'old', 'third')).toBe('absent');
    expect(await readdir(where)).toEqual([]);
  });
});

test('what had the name before is kept when a third takes it, and the message says where', async () => {
  const where = await freshFolder();
  const path = join(where, 'rec');
  await writeOutput(path, 'old', false);
  let renamed = 0;
  const end = await watchOperations(({ name }) => {
    if (name !== 'rename' || ++renamed !== 2) return;
    return () => {
      mkdirSync(path);
      writeFileSync(join(path, 'else'), '');
    };
  });
  const error: unknown = await writeOutput(path, 'new', true)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    .finally(end);
  // The new one came whole, and is kept as well.
  const kept = (await readdir(where)).filter((name) => name !== 'rec');
  expect(kept).toEqual([expect.stringMatching(/\.kept$/), expect.stringMatching(/\.kept$/)]);
  expect(error).toMatchObject({ code: 'ERR_EXISTS' });
  for (const name of kept) {
    expect(error).toMatchObject({ message: expect.stringContaining(join(where, name)) });
  }
  const found = kept.map((name) => whichOutput(join(where, name), 'old', 'new'));
  expect((await Promise.all(found)).sort()).toEqual(['new', 'old']);
});

test('a recording that is under way is left alone by others of the same name', async () => {
  const where = await freshFolder();
  const path = join(where, 'rec');
  const open = await OutputFolder.create(path, true);
  await open.file('main');
  await write(path, 'next', false);
  await writeOutput(path, 'again', true);
  expect((await readdir(where)).map((name) => name.slice(name.lastIndexOf('.')))).toContain(
    '.part',
  );
  await open.commit();
  expect(await readdir(where)).toEqual(['rec']);
  expect(await readdir(path)).toEqual(['main']);
});
