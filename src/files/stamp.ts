import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';

/**
 * What tells whether a file is still the one that it was, with the content that it had: whoever
 * replaces it makes another inode, and whoever writes to it changes its times. What leaves no
 * trace: a write in the very step of the clock of the write before (a file system's clock moves in
 * steps of up to 10 ms, and Deno gives whole milliseconds); a write after which the time was set
 * back; through a mapping, a write to a page that has been written to, and not been put on the disk
 * since; over a network file system, what another machine wrote a moment ago.
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

/** The same but for what a file's name, links, owner and permissions change, as no content does. */
export function sameContent(one: Stamp, other: Stamp): boolean {
  return (
    one.dev === other.dev &&
    one.ino === other.ino &&
    one.size === other.size &&
    one.mtimeNs === other.mtimeNs
  );
}

/**
 * The stamp of a file that was just given its name. If it has lost the name to another file since,
 * the answer is the stamp from before, which fits no file.
 */
export async function stampOnceNamed(path: string, before: Stamp): Promise<Stamp> {
  const found = await lstat(path, { bigint: true }).then(stampOf, () => before);
  return sameContent(found, before) ? found : before;
}

/** Whether the file under that name still has the stamp. */
export async function hasStamp(path: string, stamp: Stamp): Promise<boolean> {
  return lstat(path, { bigint: true }).then(
    (found) => sameStamp(stampOf(found), stamp),
    () => false,
  );
}
