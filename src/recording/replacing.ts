import type { Dirent } from 'node:fs';
import { lstat, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { MultifdError } from '../util/errors.ts';
import { type Hidden, hiddenBeside, leftOver } from '../files/hidden.ts';
import { io, statIfThere, syncFolder } from '../files/io.ts';
import { isOwnName } from './recording.ts';

/**
 * The suffixes of hidden folders: one that is being filled; one that is whole and about to replace
 * another; that other.
 */
export const PART = '.part';
export const NEW = '.new';
export const OLD = '.old';

/**
 * Whether nothing has the name; false when something has it that may be replaced.
 * @throws MultifdError ERR_EXISTS when it may not.
 */
export async function looksFree(path: string, force: boolean): Promise<boolean> {
  if (basename(path) === '')
    throw new MultifdError('ERR_IO', `${path} is not the name of a folder to make`);
  if ((await statIfThere(path)) === undefined) return true;
  if (!force) throw taken(path);
  await checkReplaceable(path, path);
  return false;
}

/**
 * A mistyped name shall not cost a folder of other things.
 * @param path where it is.
 * @param name what it is called.
 * @throws MultifdError ERR_EXISTS if it is neither a recording nor an empty folder.
 */
export async function checkReplaceable(path: string, name: string): Promise<void> {
  const isFolder = (await statIfThere(path))?.isDirectory() ?? false;
  const entries: Dirent[] | undefined = isFolder
    ? await io(`read ${path}`, readdir(path, { withFileTypes: true }))
    : undefined;
  if (entries === undefined || !entries.every((entry) => entry.isFile() && isOwnName(entry.name))) {
    throw new MultifdError(
      'ERR_EXISTS',
      `${name} is there already, and is not a recording, so that it is not replaced; ` +
        'choose another name',
    );
  }
}

export function taken(path: string): MultifdError {
  return new MultifdError(
    'ERR_EXISTS',
    `${path} is there already; choose another name, or replace it (force)`,
  );
}

/**
 * Gives a recording its name that was to replace another when the process ended, or the power was
 * cut, between the two renamings. Of several the one that came last counts. Nothing is done when
 * something has the name. The process that was replacing may be at it still: it finds that this was
 * done.
 *
 * @throws MultifdError ERR_IO, with the place of the recording.
 */
export async function finishReplacing(name: string): Promise<void> {
  const path = resolve(name);
  if ((await statIfThere(path)) !== undefined) return;
  const { whole, old } = (await lastReplacing(path)) ?? {};
  if (whole === undefined || old === undefined) return;
  try {
    await rename(whole, path);
  } catch (cause) {
    if ((await statIfThere(path)) !== undefined) return;
    throw new MultifdError(
      'ERR_IO',
      `${path} was being replaced when that was cut off; the new recording is ${whole}, ` +
        `and can't be given its name: ${(cause as Error).message}`,
      { cause },
    );
  }
  await syncFolder(dirname(path));
  await removeRecording(old);
}

async function lastReplacing(path: string): Promise<{ whole: string; old: string } | undefined> {
  const hidden = await hiddenBeside(path).catch((): Hidden[] => []);
  const whole = hidden
    .filter(({ suffix }) => suffix === NEW)
    .sort((one, other) => other.ordinal - one.ordinal);
  for (const one of whole) {
    const old = hidden.find(({ stem, suffix }) => stem === one.stem && suffix === OLD);
    if (old !== undefined && (await isFolder(one.path)) && (await isFolder(old.path)))
      return { whole: one.path, old: old.path };
  }
  return undefined;
}

async function isFolder(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/**
 * Removes folders that are left over of recordings of that name: all, once a new one has it,
 * lasting; or those only that can't get it any more. Only if the process that left them is provably
 * gone. Never throws.
 */
export async function removeLeftOverFolders(path: string, all: boolean): Promise<void> {
  const left = await leftOver(path);
  const isPaired = ({ stem, suffix }: Hidden): boolean =>
    left.some((other) => other.stem === stem && other.suffix !== suffix);
  const gone = left.filter((hidden) => all || !isPaired(hidden));
  const old = gone.filter(({ suffix }) => suffix === OLD);
  for (const hidden of old) await removeRecording(hidden.path);
  // One that is called whole has to be that as long as there is the other: then it can get the
  // name.
  if (
    old.length > 0 &&
    !(await syncFolder(dirname(path)).then(
      () => true,
      () => false,
    ))
  )
    return;
  for (const hidden of gone) if (hidden.suffix !== OLD) await removeRecording(hidden.path);
}

/**
 * Nothing but a recording's files, so that what was put there meanwhile stays, in a hidden folder.
 * The new recording stands by now.
 */
export async function removeRecording(path: string): Promise<void> {
  try {
    // No link leads out of it.
    if (!(await isFolder(path))) return;
    for (const name of await readdir(path)) if (isOwnName(name)) await rm(join(path, name));
    await rmdir(path);
  } catch {
    // What is left over does no harm.
  }
}
