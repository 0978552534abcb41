import { lstat, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { fixture } from '../../support/recording.ts';
import { PAGE, writeImage } from '../../support/image.ts';
import { run, start, startReceiver, temporaryFolder } from '../../support/command.ts';

/** With the umask that leaves everything to who creates a file. */
async function openFolder(): Promise<string> {
  const before = process.umask(0);
  onTestFinished(() => void process.umask(before));
  return temporaryFolder();
}

/**
 * The permission bits of all that is in a folder, by path; hidden files are called by their suffix.
 */
async function permissions(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true })) {
    const name = entry.replace(/\.multifd-[^/.]*/, '*');
    found[name] = ((await lstat(join(folder, entry))).mode & 0o777).toString(8);
  }
  return found;
}

test("an image is its owner's alone, also before it has its name", async () => {
  const where = await openFolder();
  const content = join(where, 'content');
  await writeFile(content, Buffer.alloc(3 * PAGE, 1), { mode: 0o644 });
  const { receiver, uri } = await startReceiver('tcp:127.0.0.1:0', join(where, 'image'));
  expect(await permissions(where)).toEqual({ content: '644', '*.part': '600' });
  expect((await run('send', content, uri)).status).toBe(0);
  expect((await receiver.ended).status).toBe(0);
  expect(await permissions(where)).toEqual({ content: '644', image: '600' });
});

test("an extracted block is its owner's alone, also in place of a file that all could read", async () => {
  const where = await openFolder();
  await writeImage(join(where, 'image'), [{ id: 'ram', content: Buffer.alloc(3 * PAGE, 1) }]);
  await writeFile(join(where, 'old'), 'old', { mode: 0o666 });
  for (const name of ['new', 'old']) {
    expect(
      (await run('extract', join(where, 'image'), 'ram', join(where, name), '--force')).status,
    ).toBe(0);
  }
  expect(await permissions(where)).toEqual({ image: '600', new: '600', old: '600' });
});

test("a recording is its owner's alone, also before it has its name", async () => {
  const where = await openFolder();
  for (const options of [[], ['--force']]) {
    const recorder = start(
      'record',
      `unix:${join(where, 'socket')}`,
      join(where, 'recording'),
      '--json',
      ...options,
    );
    await recorder.event('listening');
    const { '*.part': hidden } = await permissions(where);
    expect(hidden).toBe('700');
    expect(
      (await run('replay', fixture('qemu-7.2-pc'), `unix:${join(where, 'socket')}`)).status,
    ).toBe(0);
    expect((await recorder.ended).status).toBe(0);
    const found = await permissions(where);
    expect(found['recording']).toBe('700');
    const files = Object.entries(found).filter(([name]) => name.startsWith('recording/'));
    expect(files.length).toBeGreaterThan(4);
    expect(new Set(files.map(([, mode]) => mode))).toEqual(new Set(['600']));
    expect(Object.keys(found).filter((name) => name.startsWith('*'))).toEqual([]);
  }
});
