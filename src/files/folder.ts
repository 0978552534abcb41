import { open } from 'node:fs/promises';
import { io, systemCode } from './io.ts';

/**
 * What fsync says of a folder where the file system syncs none: there is no such operation for it.
 */
const NOT_FOR_FOLDERS = ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'];
/** What Windows says of opening a folder as a file, and of flushing one. */
const NOT_ON_WINDOWS = ['EISDIR', 'EPERM'];

/**
 * Puts the names in a folder on the disk: those that were given, and that those taken away are
 * gone. A file's own sync does not.
 *
 * Where folders can't be synced at all there is nothing to wait for, and nothing is: on Windows,
 * which has no such call for them, and on file systems (some network ones) whose fsync of a folder
 * is EINVAL or ENOTSUP. What a power cut leaves there is up to them.
 *
 * @throws MultifdError ERR_IO for anything else: a folder that may not be read can't be synced
 *   either, and a disk that fails has to be heard of.
 */
export async function syncFolder(path: string): Promise<void> {
  const what = `write the names in ${path} to the disk`;
  try {
    const folder = await open(path, 'r');
    try {
      await folder.sync().catch((error: unknown) => {
        if (!NOT_FOR_FOLDERS.includes(systemCode(error) ?? '')) throw error;
      });
    } finally {
      await folder.close();
    }
  } catch (error) {
    if (process.platform === 'win32' && NOT_ON_WINDOWS.includes(systemCode(error) ?? '')) return;
    await io(what, Promise.reject(error as Error));
  }
}
