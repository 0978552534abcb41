import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FileOutput } from '../../../src/image/index.ts';
import { watchOperations } from '../../support/file-operations.ts';
import { folder } from '../../support/image.ts';

test('a file has its name only once it is committed', async () => {
  const path = join(await folder(), 'out');
  const output = await FileOutput.create(path);
  await output.handle.write('content');
  await expect(readFile(path)).rejects.toThrow('ENOENT');
  await output.commit();
  expect(await readFile(path, 'utf8')).toBe('content');
  await output.discard();
  expect(await readdir(join(path, '..'))).toEqual(['out']);
});

test('nothing is left of one that is discarded, twice', async () => {
  const where = await folder();
  const output = await FileOutput.create(join(where, 'out'));
  await output.handle.write('content');
  await output.discard();
  await output.discard();
  expect(await readdir(where)).toEqual([]);
});

test('a file that is there is kept, and replaced only on demand', async () => {
  const where = await folder();
  const path = join(where, 'out');
  await writeFile(path, 'old');
  await expect(FileOutput.create(path)).rejects.toMatchObject({ code: 'ERR_EXISTS' });
  const output = await FileOutput.create(path, { force: true });
  await output.handle.write('new');
  expect(await readFile(path, 'utf8')).toBe('old');
  await output.commit();
  expect(await readFile(path, 'utf8')).toBe('new');
  expect(await readdir(where)).toEqual(['out']);
});

test('a file that took the name meanwhile is kept', async () => {
  const where = await folder();
  const path = join(where, 'out');
  const output = await FileOutput.create(path);
  await writeFile(path, 'faster');
  await expect(output.commit()).rejects.toMatchObject({ code: 'ERR_EXISTS' });
  expect(await readFile(path, 'utf8')).toBe('faster');
  expect(await readdir(where)).toEqual(['out']);
});

test('only regular files are ever replaced', async () => {
  const where = await folder();
  await mkdir(join(where, 'folder'));
  await symlink('elsewhere', join(where, 'link'));
  for (const path of [join(where, 'folder'), join(where, 'link'), '/dev/null']) {
    await expect(FileOutput.create(path, { force: true }), path).rejects.toMatchObject({
      code: 'ERR_IO',
    });
  }
});

test('a folder that is not there', async () => {
  await expect(FileOutput.create(join(await folder(), 'no', 'out'))).rejects.toMatchObject({
    code: 'ERR_IO',
  });
});

describe('a folder that is not synced', () => {
  /** Fails the syncs of folders, of which files know nothing. */
  async function writeFailing(path: string, code: string, force = false): Promise<unknown> {
    const output = await FileOutput.create(path, { force });
    await output.handle.write('new');
    let syncs = 0;
    const end = await watchOperations(({ name }) => {
      if (name === 'sync' && ++syncs > 1)
        throw Object.assign(new Error(`${code}: made by the test`), { code });
    });
    return output
      .commit()
      .then(
        () => undefined,
        (error: unknown) => error,
      )
      .finally(end);
  }

  test('since the disk fails: the file has no name', async () => {
    const where = await folder();
    expect(await writeFailing(join(where, 'out'), 'EIO')).toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining('EIO'),
    });
    expect(await readdir(where)).toEqual([]);
  });

  test('since the disk fails: one that was replaced is the new one, the message says so', async () => {
    const where = await folder();
    const path = join(where, 'out');
    await writeFile(path, 'old');
    const error = await writeFailing(path, 'EIO', true);
    expect(error).toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining(`${path} is the new one now and whole`),
    });
    expect(await readFile(path, 'utf8')).toBe('new');
    expect(await readdir(where)).toEqual(['out']);
  });

  test.each(['EINVAL', 'ENOTSUP'])('since its file system syncs no folders (%s)', async (code) => {
    const path = join(await folder(), 'out');
    expect(await writeFailing(path, code)).toBeUndefined();
    expect(await readFile(path, 'utf8')).toBe('new');
  });

  // As root there is nothing that may not be read.
  test.skipIf(process.platform === 'win32' || process.getuid?.() === 0)(
    'since it may not be read: said before anything is written',
    async () => {
      const where = await folder();
      await chmod(where, 0o300);
      await expect(FileOutput.create(join(where, 'out')))
        .rejects.toMatchObject({ code: 'ERR_IO' })
        .finally(() => chmod(where, 0o700));
      expect(await readdir(where)).toEqual([]);
    },
  );
});
