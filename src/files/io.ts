import type { BigIntStats } from 'node:fs';
import { lstat, type FileHandle } from 'node:fs/promises';
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
