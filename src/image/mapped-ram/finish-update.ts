import { open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { answering, givenPath } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import { giveName, removeUnfinished } from '../file-output.ts';
import { syncFolder, io, statIfThere, readFully, writeFully } from '../../files/io.ts';
import { applyRedo, readRedo, SET_ASIDE, SIDECAR, type Redo } from './redo.ts';
import { stampOf, stampOnceNamed, type Stamp } from '../../files/local-file.ts';
import { runsOf, type PageRun } from './bitmap.ts';
import type { PlannedBlock } from './layout.ts';

/** `.multifd-X` of an image that was set aside; X has been made of less than it is now. */
const HIDDEN = /^(\.multifd-[0-9a-f-]+)\.image$/;

/**
 * Brings back an image whose update was cut off, by the end of the process, a power cut or a
 * failure, while its name was absent: it is the new image then, complete, and on the disk. Of
 * several updates that were cut off, the one that was begun last counts, no matter what any clock
 * says, and what the others left is removed. If an image is there under the name, it is left alone.
 * Only for when no process is updating the image any more.
 *
 * @returns the image's stamp; undefined if there was nothing to finish, or only something to clear
 *   away.
 * @throws MultifdError ERR_IO; ERR_EXISTS if the name is taken meanwhile; ERR_IMAGE if it can't be
 *   told which of two updates was begun last. The hidden files stay then.
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
    const same = left.filter(({ ino, dev }) => ino === named.ino && dev === named.dev);
    if (same.length > 0) await syncFolder(folder);
    for (const one of same) await removeBoth(one);
    // Of one that had its name back, and was rid of the hidden one, the sidecar may be left.
    await removeUnfinished(path);
    return undefined;
  }
  const [last, ...others] = await updatesOf(basename(path), left);
  if (last === undefined) return undefined;
  if (last.redo.ordinal === others[0]?.redo.ordinal) {
    throw new MultifdError(
      'ERR_IMAGE',
      `two updates of ${path} were cut off, and it can't be told which is the later: ` +
        `${last.update} or ${others[0].update}; remove one`,
    );
  }
  // The image may have lost its name in memory only: it must have lost it on the disk, too, before
  // it is written to.
  await syncFolder(folder);
  const finished = await finish(path, last);
  for (const one of [last, ...others]) await removeBoth(one);
  return stampOnceNamed(path, finished);
}

interface Left {
  aside: string;
  update: string;
  dev: bigint;
  ino: bigint;
}

/** What updates of any image have left in the folder. */
async function leftIn(folder: string): Promise<Left[]> {
  const left: Left[] = [];
  for (const name of await io(`look into ${folder}`, readdir(folder))) {
    const hidden = HIDDEN.exec(name)?.[1];
    if (hidden === undefined) continue;
    const [aside, update] = [join(folder, hidden + SET_ASIDE), join(folder, hidden + SIDECAR)];
    const [image, sidecar] = [await statIfThere(aside), await statIfThere(update)];
    if (image?.isFile() && sidecar?.isFile())
      left.push({ aside, update, dev: image.dev, ino: image.ino });
  }
  return left;
}

/**
 * Those of an image, by its name in the folder, with a record that is whole; the last one first.
 */
async function updatesOf(
  image: string,
  left: readonly Left[],
): Promise<Array<Left & { redo: Redo }>> {
  const found: Array<Left & { redo: Redo }> = [];
  for (const one of left) {
    const sidecar = await io(`open ${one.update}`, open(one.update, 'r'));
    const redo = await readRedo(sidecar).finally(() => close(one.update, sidecar));
    if (redo?.image === image) found.push({ ...one, redo });
  }
  return found.sort((one, other) => other.redo.ordinal - one.redo.ordinal);
}

async function finish(
  path: string,
  { aside, update, redo }: Left & { redo: Redo },
): Promise<Stamp> {
  const sidecar = await io(`open ${update}`, open(update, 'r'));
  try {
    const image = await io(`open ${aside}`, open(aside, 'r+'));
    try {
      await applyRedo(sidecar, image, redo);
      await giveName(aside, path);
      return stampOf(await io(`look at ${path}`, image.stat({ bigint: true })));
    } finally {
      await close(aside, image);
    }
  } finally {
    await close(update, sidecar);
  }
}

/** Throws MultifdError ERR_IO. */
async function close(path: string, file: FileHandle): Promise<void> {
  await io(`close ${path}`, file.close());
}

async function removeBoth({ aside, update }: Left): Promise<void> {
  for (const path of [aside, update]) await rm(path, { force: true }).catch(() => undefined);
}

/** At least the largest page. */
const WINDOW = 1024 * 1024;
/** Writes on their way at a time: as many threads as Node has for files. */
const LANES = 4;

/**
 * Copies the pages of a block whose bits are set, from one file to the same places in another.
 * Pages near to each other are read at once, with what lies between them; only they are written,
 * neighbours together.
 *
 * @throws MultifdError ERR_IO; ERR_IMAGE if the source ends before. No write is on its way any
 *   more then.
 */
export async function copyPages(
  from: FileHandle,
  to: FileHandle,
  { usedLength, pagesOffset }: Pick<PlannedBlock, 'usedLength' | 'pagesOffset'>,
  pageSize: number,
  bitmap: Uint8Array,
): Promise<void> {
  const buffer = new Uint8Array(WINDOW);
  for (const runs of windows(runsOf(bitmap, usedLength / pageSize), WINDOW / pageSize)) {
    const { start } = runs[0]!;
    const position = pagesOffset + start * pageSize;
    await readFully(from, buffer.subarray(0, (runs.at(-1)!.end - start) * pageSize), position);
    for (let next = 0; next < runs.length; next += LANES) {
      const writes = runs.slice(next, next + LANES).map((run) => {
        const at = (run.start - start) * pageSize;
        return writeFully(to, buffer.subarray(at, (run.end - start) * pageSize), position + at);
      });
      for (const written of await Promise.allSettled(writes))
        if (written.status === 'rejected') throw written.reason;
    }
  }
}

/** Copies bytes from one file to the same place in another. Throws what {@link copyPages} does. */
export async function copyRange(
  from: FileHandle,
  to: FileHandle,
  position: number,
  length: number,
): Promise<void> {
  const buffer = new Uint8Array(Math.min(WINDOW, length));
  for (let at = 0; at < length; at += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, length - at));
    await readFully(from, piece, position + at);
    await writeFully(to, piece, position + at);
  }
}

/** The runs, cut where they are too long, in groups of which none spans more than `pages`. */
function* windows(runs: Iterable<PageRun>, pages: number): Generator<PageRun[]> {
  let window: PageRun[] = [];
  for (const { start, end } of runs) {
    for (let at = start; at < end; at += pages) {
      const run = { start: at, end: Math.min(end, at + pages) };
      if (window.length > 0 && run.end - window[0]!.start > pages) {
        yield window;
        window = [];
      }
      window.push(run);
    }
  }
  if (window.length > 0) yield window;
}
