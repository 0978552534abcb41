import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';

/**
 * What tells whether a file is still the one that it was, with the content that it had: whoever replaces it makes another inode, and
 * whoever writes to it changes its times. A file system's clock moves in steps of some milliseconds: a write in the very step of the
 * one before leaves no trace.
 */
export interface Stamp {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Bytes. */
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

export function stampOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): Stamp {
  return { dev, ino, size, mtimeNs, ctimeNs };
}

export function sameStamp(one: Stamp, other: Stamp): boolean {
  return sameContent(one, other) && one.ctimeNs === other.ctimeNs;
}

/** The same but for what a file's renaming changes. */
export function sameContent(one: Stamp, other: Stamp): boolean {
  return one.dev === other.dev && one.ino === other.ino && one.size === other.size && one.mtimeNs === other.mtimeNs;
}

/**
 * The stamp of a file that was just given its name. If it has lost the name to another file since, the answer is the stamp from
 * before, which fits no file.
 */
export async function stampOnceNamed(path: string, before: Stamp): Promise<Stamp> {
  const found = await lstat(path, { bigint: true }).then(stampOf, () => before);
  return sameContent(found, before) ? found : before;
}

/** Whether the file under that name still has the stamp. */
export async function hasStamp(path: string, stamp: Stamp): Promise<boolean> {
  return lstat(path, { bigint: true }).then((found) => sameStamp(stampOf(found), stamp), () => false);
}
