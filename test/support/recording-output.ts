import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OutputFolder } from '../../src/recording/output-folder.ts';
import { openRecording } from '../../src/recording/recording.ts';

const FILES = ['main', 'channel-0'];

const contentOf = (name: string, what: string): Buffer =>
  Buffer.from(`${name} of ${what}\n`.repeat(300));

/** Writes a recording, each file of which says of which it is. */
export async function writeOutput(path: string, what: string, force: boolean): Promise<void> {
  const folder = await OutputFolder.create(path, force);
  try {
    for (const name of FILES) {
      const handle = await folder.file(name);
      const content = contentOf(name, what);
      await handle.write(content, 0, content.length, 0);
    }
  } catch (error) {
    await folder.discard();
    throw error;
  }
  await folder.commit();
}

/**
 * Which recording has the name, as who opens it finds it: all of it, or `other`; `absent` if there
 * is none.
 */
export async function whichOutput(path: string, ...known: string[]): Promise<string> {
  try {
    await (await openRecording(path)).close();
  } catch {
    if (!(await readdir(join(path, '..'))).includes(path.slice(path.lastIndexOf('/') + 1)))
      return 'absent';
  }
  const found = (await readdir(path)).sort().join();
  if (found !== [...FILES].sort().join()) return `other: ${found}`;
  for (const what of known) {
    const same = await Promise.all(
      FILES.map(async (name) => (await readFile(join(path, name))).equals(contentOf(name, what))),
    );
    if (same.every((one) => one)) return what;
  }
  return 'other';
}
