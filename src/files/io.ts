import type { BigIntStats } from 'node:fs';
import { lstat, type FileHandle, open } from 'node:fs/promises';
import { MultifdError } from '../util/errors.ts';

/** Waits for a file operation; a failure becomes ERR_IO, with `what` saying what was tried. */
export async function io<T>(what: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MultifdError('ERR_IO', `cannot ${what}: ${reason}`, { cause: error });
  }
}

/** The `code` of a file system error, such as `ENOENT`; undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

/** What has the name, a link not followed; undefined if nothing has. Throws MultifdError ERR_IO. */
export async function statIfThere(path: string): Promise<BigIntStats | undefined> {
  return io(
    `look for ${path}`,
    lstat(path, { bigint: true }).catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw error;
    }),
  );
}

/**
 * Fills all of `into` from `position` on.
 *
 * @throws MultifdError ERR_IO; ERR_IMAGE if the file ends before.
 */
export async function readFully(
  handle: FileHandle,
  into: Uint8Array,
  position: number,
): Promise<void> {
  let filled = 0;
  while (filled < into.length) {
    const { bytesRead } = await io(
      'read',
      handle.read(into, filled, into.length - filled, position + filled),
    );
    if (bytesRead === 0) {
      throw new MultifdError('ERR_IMAGE', 'the file was cut short', { offset: position + filled });
    }
    filled += bytesRead;
  }
}

/** Writes all of `bytes` from `position` on. Throws MultifdError ERR_IO. */
export async function writeFully(
  handle: FileHandle,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await io(
      'write',
      handle.write(bytes, written, bytes.length - written, position + written),
    );
    written += bytesWritten;
  }
}

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
