import { open, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { answering, givenPath } from '../checks.ts';
import { giveName, syncFolder } from './file-output.ts';
import { io, statIfThere } from './io.ts';
import { applyRedo, readRedo, SET_ASIDE, SIDECAR } from './redo.ts';
import { stampOf, stampOnceNamed, type Stamp } from './stamp.ts';

/** `.multifd-X` of an image that was set aside. */
const HIDDEN = /^(\.multifd-\d+-[0-9a-f]+)\.image$/;

/**
 * Brings back an image whose update was cut off, by the end of the process or by a failure, while its name was absent: it is the new
 * image then, complete. If an image is there under the name, it is left alone. Only for when nobody is updating the image any more.
 *
 * @returns the image's stamp; undefined if there was nothing to finish.
 * @throws MultifdError ERR_IO; ERR_EXISTS if the name is taken meanwhile. The hidden files stay then.
 */
export function finishImageUpdate(path: string): Promise<Stamp | undefined> {
  return answering(() => finishUpdate(givenPath('path', path)));
}

async function finishUpdate(path: string): Promise<Stamp | undefined> {
  const folder = dirname(path);
  const left = await leftIn(folder);
  const named = await statIfThere(path);
  if (named !== undefined) {
    // One with the same inode had its name back already, and was not rid of the hidden one.
    for (const { aside, update, ino } of left) if (ino === named.ino) await removeBoth(aside, update);
    return undefined;
  }
  for (const { aside, update } of left) {
    const finished = await finish(path, aside, update);
    if (finished === undefined) continue;
    await removeBoth(aside, update);
    await syncFolder(folder);
    return stampOnceNamed(path, finished);
  }
  return undefined;
}

interface Left {
  aside: string;
  update: string;
  ino: bigint;
  mtimeNs: bigint;
}

/** What updates have left in the folder, the last one first: what others left has been replaced since. */
async function leftIn(folder: string): Promise<Left[]> {
  const left: Left[] = [];
  for (const name of await io(`look into ${folder}`, readdir(folder))) {
    const hidden = HIDDEN.exec(name)?.[1];
    if (hidden === undefined) continue;
    const [aside, update] = [join(folder, hidden + SET_ASIDE), join(folder, hidden + SIDECAR)];
    const [image, sidecar] = [await statIfThere(aside), await statIfThere(update)];
    if (image?.isFile() && sidecar?.isFile()) left.push({ aside, update, ino: image.ino, mtimeNs: sidecar.mtimeNs });
  }
  return left.sort((one, other) => Number(other.mtimeNs - one.mtimeNs));
}

/** The image's stamp; undefined if the record is not whole, or of an image of another name. */
async function finish(path: string, aside: string, update: string): Promise<Stamp | undefined> {
  const sidecar = await io(`open ${update}`, open(update, 'r'));
  try {
    const redo = await readRedo(sidecar);
    if (redo?.image !== basename(path)) return undefined;
    const image = await io(`open ${aside}`, open(aside, 'r+'));
    try {
      await applyRedo(sidecar, image, redo);
      await giveName(aside, path, false);
      return stampOf(await io(`look at ${path}`, image.stat({ bigint: true })));
    } finally {
      await image.close();
    }
  } finally {
    await sidecar.close();
  }
}

async function removeBoth(...paths: readonly [string, string]): Promise<void> {
  for (const path of paths) await rm(path, { force: true }).catch(() => undefined);
}
