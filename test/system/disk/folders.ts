import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';

/**
 * Where files are in memory: a model of a disk needs no other, and each of many thousand syncs
 * would be waited for.
 */
const MEMORY = '/dev/shm';

/** Makes empty folders, which are gone with the tests of a file. */
export function foldersInMemory(): () => Promise<string> {
  let folder: string;
  let count = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'multifd-disk-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return async () => {
    const path = join(folder, String(count++));
    await mkdir(path);
    return path;
  };
}
