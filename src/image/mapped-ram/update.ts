import { constants } from 'node:fs';
import { lstat, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { openRegular } from '#files';
import { MultifdError } from '../../util/errors.ts';
import type { Configuration } from '../../stream/index.ts';
import { bothOf, exceptOf, firstDifference, hasBitsPast } from './bitmap.ts';
import { giveName, removeSuperseded, removeUnfinished } from '../file-output.ts';
import { syncFolder, io, readFully, statIfThere, writeFully } from '../../files/io.ts';
import { HiddenName, KEPT } from '../../files/hidden.ts';
import { planImage, type ImagePlan, type ImageShape } from './layout.ts';
import { copyRange } from './finish-update.ts';
import { applyRedo, copyRedoPages, SET_ASIDE, SIDECAR, writeRedo, type Redo } from './redo.ts';
import {
  sameContent,
  sameStamp,
  stampOf,
  stampOnceNamed,
  type Stamp,
} from '../../files/local-file.ts';

export interface ImageUpdateOptions {
  /** What the commit of the snapshot before gave: the image as it must be still. */
  stamp: Stamp;
  configuration: Configuration;
  blocks: ImageShape['blocks'];
  pageSize: number;
  /** Where the stream starts in the file, in bytes; default 0. Bytes before it stay as they are. */
  offset?: number;
}

/**
 * A bitmap per block, in the order of the blocks, as in the file: one bit per page, in
 * little-endian 64-bit words.
 */
export interface UpdateContent {
  /**
   * The pages that differ from the image's, or may. Those of them that are present are in the
   * sidecar.
   */
  changed: readonly Uint8Array[];
  /** All pages that are present now; the others are zero. */
  bitmaps: readonly Uint8Array[];
  /** All of what follows the RAM: device sections, EOF, VMDESCRIPTION. */
  tail: Uint8Array;
}

/**
 * Writes what changed into an image that is there already; under its name, the image is the old
 * one, the new one, or absent. The calls come in this order, with {@link discard} at any point
 * instead:
 *
 *     open, [changed pages by any thread at pagesOffset + offset in fd], commit
 *
 * `fd` is a sidecar: a sparse hidden file beside the image in which everything has the place that
 * it has in the image. So nothing that is written to it touches the image; it may be written to
 * from several threads at once. Then `commit` goes on:
 *
 *     step                                   NAME    .multifd-X.update  .multifd-X.image
 *     1 bitmaps, tail and a record of what   old     pages, then all    -
 *       is to be copied go into the
 *       sidecar, and to the disk
 *     2 if NAME is still the file it was,    absent  all                old
 *       it is renamed
 *     3 pages where the old image has none,  absent  all                old, with bytes
 *       and the room for a longer tail, are                             that mean nothing
 *       copied into it
 *     4 the other pages, bitmaps and tail    absent  all                part old, part new
 *       are copied
 *     5 it gets its name back                new     all                new
 *     6 what is hidden is removed            new     -                  -
 *
 * Each of 1 to 5 is on the disk, files and the folder's names, before the next begins: a power cut
 * leaves what a line says or the one before it, in whatever order the file system wrote. What is
 * removed in 6 may be there again after one, and does no harm.
 *
 * What runs out of room does so in 1 or 3, as 4 writes only where something has been before; up to
 * there the old image is brought back after any failure. When 4 or 5 fails, or the process ends in
 * 2 to 5, both hidden files stay, and {@link finishImageUpdate} makes the new image of them. A
 * sidecar alone is of no use: a process that ended in 1, or last in 6, leaves it, and the
 * next one that writes an image of that name removes it.
 *
 * The pages that changed are written twice. That beats a copy of the image, which costs all of its
 * pages where the file system can't clone files (ext4 can't), and an undo log, which would need the
 * pages to be written a third time, and the old ones read, to guard against a disk that fails in 4,
 * and would fail with it. The image stays the same file: owner, permissions and what comes
 * before `offset` are kept. Who has it open meanwhile sees it change.
 */
export class ImageUpdate {
  /** Where everything is, in the sidecar and in the image. */
  readonly plan: ImagePlan;
  readonly #path: string;
  readonly #stamp: Stamp;
  readonly #image: FileHandle;
  readonly #before: readonly Uint8Array[];
  readonly #sidecar: FileHandle;
  readonly #hidden: HiddenName;
  #open = true;
  #kept = false;
  /** What was set aside is not the image that is to be updated. */
  #another = false;

  private constructor(
    path: string,
    stamp: Stamp,
    plan: ImagePlan,
    image: FileHandle,
    before: readonly Uint8Array[],
    hidden: HiddenName,
    sidecar: FileHandle,
  ) {
    this.#path = path;
    this.#stamp = stamp;
    this.plan = plan;
    this.#image = image;
    this.#before = before;
    this.#hidden = hidden;
    this.#sidecar = sidecar;
  }

  /**
   * Opens the image for an update.
   *
   * @returns undefined if it can't be updated and has to be written anew: it is not there, has
   *   been changed or replaced since, or is of another configuration, other blocks, or blocks of
   *   other lengths.
   * @throws MultifdError what planImage throws; ERR_IO if it can't be read and written, or its
   *   folder not written to; ERR_IMAGE if a bitmap has bits past its block's end.
   */
  static async open(
    path: string,
    { stamp, ...shape }: ImageUpdateOptions,
  ): Promise<ImageUpdate | undefined> {
    const plan = planImage(shape);
    const found = await statIfThere(path);
    if (found === undefined || !found.isFile() || !sameStamp(stampOf(found), stamp))
      return undefined;
    const image = await openRegular(path, { flags: constants.O_RDWR });
    try {
      if (await hasLayout(image, plan, stamp)) {
        const before = await readBitmaps(image, plan);
        // Only now: what was read is the image's as it was if it still is that.
        const read = stampOf(await io(`look at ${path}`, image.stat({ bigint: true })));
        if (sameStamp(read, stamp)) {
          await removeUnfinished(path);
          const hidden = await io(`look into ${dirname(path)}`, HiddenName.beside(path));
          return new ImageUpdate(
            path,
            stamp,
            plan,
            image,
            before,
            hidden,
            await createSidecar(path, hidden),
          );
        }
      }
    } catch (error) {
      await image.close();
      throw error;
    }
    await image.close();
    return undefined;
  }

  /** The sidecar; valid until {@link commit} or {@link discard}. */
  get fd(): number {
    return this.#sidecar.fd;
  }

  /**
   * The bitmaps of the image as it is, one per block: set for each page that is present. The
   * caller's to change.
   */
  bitmaps(): Uint8Array[] {
    return this.#before.map((bitmap) => bitmap.slice());
  }

  /**
   * Makes the image what the sidecar and `content` say; no thread may write to them any more.
   *
   * @returns what the next update knows the image by.
   * @throws MultifdError ERR_EXISTS if the image was changed or replaced since, or its name taken
   *   meanwhile; ERR_IO; ERR_INTERNAL for bitmaps that don't fit the blocks or the image. If the
   *   image can't be brought back, the message says where it is.
   */
  async commit(content: UpdateContent): Promise<Stamp> {
    if (!this.#open)
      throw new MultifdError('ERR_INTERNAL', 'an update was to be committed that is over');
    let written: Stamp;
    try {
      const redo = this.#redo(content);
      await this.#record(redo, content);
      await this.#setAside();
      await this.#addPages(redo);
      written = await this.#finish(redo);
    } catch (error) {
      await this.discard();
      throw error;
    }
    await this.#removeSidecar();
    await removeSuperseded(this.#path);
    return stampOnceNamed(this.#path, written);
  }

  /**
   * Removes the sidecar; the image stays as it is. Never throws, so that it can follow any error.
   */
  async discard(): Promise<void> {
    await this.#close().catch(() => undefined);
    if (this.#kept) this.#hidden.release();
    else await this.#removeSidecar();
  }

  #redo({ changed, bitmaps, tail }: UpdateContent): Redo {
    const { blocks, pageSize, tailOffset } = this.plan;
    if (tail.length === 0)
      throw new MultifdError('ERR_INTERNAL', 'the image was to be updated without its end');
    const pages = blocks.map(({ id, usedLength, bitmapLength }, index) => {
      const [differing, present] = [changed[index], bitmaps[index]];
      const fits = (bitmap: Uint8Array | undefined): bitmap is Uint8Array =>
        bitmap?.length === bitmapLength && !hasBitsPast(bitmap, usedLength / pageSize);
      if (!fits(differing) || !fits(present))
        throw new MultifdError('ERR_INTERNAL', `a bitmap of ${id} does not fit the block`);
      const page = firstDifference(present, this.#before[index]!, differing, usedLength / pageSize);
      if (page !== undefined)
        throw new MultifdError(
          'ERR_INTERNAL',
          `page ${page} of ${id} came or went, and is not among those that changed`,
        );
      return bothOf(differing, present);
    });
    const places = blocks.map(({ id: _, ...rest }) => rest);
    return {
      ordinal: this.#hidden.ordinal,
      image: basename(this.#path),
      pageSize,
      blocks: places,
      tailOffset,
      tailLength: tail.length,
      pages,
    };
  }

  /** Step 1. */
  async #record(redo: Redo, { bitmaps, tail }: UpdateContent): Promise<void> {
    for (const [index, { bitmapOffset }] of redo.blocks.entries())
      await writeFully(this.#sidecar, bitmaps[index]!, bitmapOffset);
    await writeFully(this.#sidecar, tail, redo.tailOffset);
    await writeRedo(this.#sidecar, redo);
    await io('write the changes to the disk', this.#sidecar.sync());
    await syncFolder(dirname(this.#path));
  }

  /** Step 2. */
  async #setAside(): Promise<void> {
    const found = stampOf(await io(`look for ${this.#path}`, lstat(this.#path, { bigint: true })));
    if (!sameStamp(found, this.#stamp)) throw changedSince(this.#path);
    const aside = this.#hidden.with(SET_ASIDE);
    await io(`rename ${this.#path}`, rename(this.#path, aside));
    await this.#orBringBack(async () => {
      // Between the check and the renaming, the name may have gone to another file, or this one may
      // have been written to.
      const moved = stampOf(await io(`look for ${aside}`, lstat(aside, { bigint: true })));
      this.#another = !sameContent(moved, this.#stamp);
      if (this.#another) throw changedSince(this.#path);
      // Nothing of the image may change as long as the disk has it under its own name.
      await syncFolder(dirname(this.#path));
    });
  }

  /**
   * Step 3. What has the place of pages that are not present, or comes after the end, means
   * nothing.
   */
  async #addPages(redo: Redo): Promise<void> {
    const size = Number(this.#stamp.size);
    const extended = redo.tailOffset + redo.tailLength - size;
    const added = redo.pages.map((pages, index) => exceptOf(pages, this.#before[index]!));
    if (extended <= 0 && added.every((pages) => pages.every((byte) => byte === 0))) return;
    const add = async (): Promise<void> => {
      if (extended > 0) await copyRange(this.#sidecar, this.#image, size, extended);
      await copyRedoPages(this.#sidecar, this.#image, { ...redo, pages: added });
      await io('write the image to the disk', this.#image.sync());
    };
    await this.#orBringBack(add, async () => {
      if (extended <= 0) return;
      await this.#image.truncate(size);
      await this.#image.sync();
    });
  }

  /** Steps 4 and 5, but for the sidecar. */
  async #finish(redo: Redo): Promise<Stamp> {
    try {
      await applyRedo(this.#sidecar, this.#image, {
        ...redo,
        pages: redo.pages.map((pages, index) => bothOf(pages, this.#before[index]!)),
      });
      const written = stampOf(await io('look at the image', this.#image.stat({ bigint: true })));
      await this.#close();
      await giveName(this.#hidden.with(SET_ASIDE), this.#path);
      return written;
    } catch (error) {
      throw this.#keep(error);
    }
  }

  /** After a failure, undoes what there is to undo, and gives the image its name back. */
  async #orBringBack(
    action: () => Promise<void>,
    undo: () => Promise<void> = async () => {},
  ): Promise<void> {
    try {
      await action();
    } catch (error) {
      try {
        await undo();
        await giveName(this.#hidden.with(SET_ASIDE), this.#path);
      } catch {
        throw this.#another ? await this.#keepAnother(error) : this.#keep(error);
      }
      throw error;
    }
  }

  /** From here on the hidden files stay, as only both together are sure to be the image. */
  #keep(thrown: unknown): MultifdError {
    this.#kept = true;
    const { code, message } = MultifdError.from(thrown);
    const [aside, sidecar] = [this.#hidden.with(SET_ASIDE), this.#hidden.with(SIDECAR)];
    const files = `${aside}, where changes can be missing, and ${sidecar}, which has them`;
    return new MultifdError(
      code,
      `${message}; ${this.#path} is to be made whole of ${files}: ` +
        'once the cause is gone, finishImageUpdate() does it',
      { cause: thrown },
    );
  }

  /**
   * A file that had taken the image's name, and lost it to a third: no changes go into that, and
   * nothing removes it.
   */
  async #keepAnother(thrown: unknown): Promise<MultifdError> {
    const { code, message } = MultifdError.from(thrown);
    const [aside, kept] = [this.#hidden.with(SET_ASIDE), this.#hidden.with(KEPT)];
    const where = await rename(aside, kept).then(
      () => kept,
      () => aside,
    );
    return new MultifdError(code, `${message}; what had its name is now ${where}`, {
      cause: thrown,
    });
  }

  async #removeSidecar(): Promise<void> {
    await rm(this.#hidden.with(SIDECAR), { force: true }).catch(() => undefined);
    this.#hidden.release();
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#sidecar.close().catch(() => undefined);
    await io('close the image', this.#image.close());
  }
}

async function createSidecar(path: string, hidden: HiddenName): Promise<FileHandle> {
  try {
    // Memory can hold anything secret: like the image, the sidecar is its owner's alone.
    return await io(`create a file beside ${path}`, open(hidden.with(SIDECAR), 'wx+', 0o600));
  } catch (error) {
    hidden.release();
    throw error;
  }
}

/** Whether the file has, around bitmaps and pages, exactly what it would be given now. */
async function hasLayout(
  image: FileHandle,
  { pieces, tailOffset }: ImagePlan,
  { size }: Stamp,
): Promise<boolean> {
  if (size <= BigInt(tailOffset)) return false;
  for (const { position, bytes } of pieces) {
    const found = new Uint8Array(bytes.length);
    await readFully(image, found, position);
    if (Buffer.compare(found, bytes) !== 0) return false;
  }
  return true;
}

async function readBitmaps(
  image: FileHandle,
  { blocks, pageSize }: ImagePlan,
): Promise<Uint8Array[]> {
  const bitmaps: Uint8Array[] = [];
  for (const { id, usedLength, bitmapLength, bitmapOffset } of blocks) {
    const bitmap = new Uint8Array(bitmapLength);
    await readFully(image, bitmap, bitmapOffset);
    if (hasBitsPast(bitmap, usedLength / pageSize)) {
      throw new MultifdError(
        'ERR_IMAGE',
        `the bitmap of ${id} has bits for pages past the block's end`,
        { offset: bitmapOffset },
      );
    }
    bitmaps.push(bitmap);
  }
  return bitmaps;
}

function changedSince(path: string): MultifdError {
  return new MultifdError(
    'ERR_EXISTS',
    `${path} was changed or replaced since the snapshot that was to be updated; write it anew`,
  );
}
