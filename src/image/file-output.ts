import { link, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { MultifdError } from '../util/errors.ts';
import { syncFolder, io, statIfThere, systemCode } from '../files/io.ts';
import { hiddenBeside, HiddenName, removeLeftOver } from '../files/hidden.ts';
import { SET_ASIDE, SIDECAR } from './mapped-ram/redo.ts';
import { type Stamp, stampOf, stampOnceNamed } from '../files/local-file.ts';

/** Permission bits: memory can hold anything secret, so what is made of it is its owner's alone. */
const OWNER_ONLY = 0o600;

export interface FileOutputOptions {
  /** Replace a file that is there already; default false. */
  force?: boolean;
}

/** The suffix of a file that is being written. */
const PART = '.part';

/**
 * A file that is complete or absent. It is written under a hidden name in the same folder, and gets
 * its own name in {@link commit}, when it is whole and on the disk. A process that is killed leaves
 * the hidden file (`.multifd-*.part`) only, and the next file of that name removes it, if that
 * process is provably gone.
 */
export class FileOutput {
  readonly path: string;
  readonly handle: FileHandle;
  readonly #hidden: HiddenName;
  readonly #force: boolean;
  #open = true;

  private constructor(path: string, hidden: HiddenName, handle: FileHandle, force: boolean) {
    this.path = path;
    this.#hidden = hidden;
    this.handle = handle;
    this.#force = force;
  }

  /**
   * @throws MultifdError ERR_EXISTS if the file is there and `force` is not set; ERR_IO if it is
   *   there and is no regular file, or the folder cannot be written to, or can't be synced.
   */
  static async create(path: string, options: FileOutputOptions = {}): Promise<FileOutput> {
    const force = options.force ?? false;
    await refuseToReplace(path, force);
    // Before any work is done: a folder that can't be synced would make it all in vain.
    await syncFolder(dirname(path));
    await removeUnfinished(path);
    const hidden = await io(`look into ${dirname(path)}`, HiddenName.beside(path));
    try {
      const handle = await io(
        `create a file beside ${path}`,
        open(hidden.with(PART), 'wx+', OWNER_ONLY),
      );
      return new FileOutput(path, hidden, handle, force);
    } catch (error) {
      hidden.release();
      throw error;
    }
  }

  /**
   * Puts the content on the disk and gives the file its name, which is on the disk then too. On
   * failure the hidden file is removed, and there is no file of the name, or the one before; but
   * one that has been replaced already when its folder can't be synced is the new one, which
   * may not outlast a power cut, and the message says so.
   *
   * @returns what the file can be known by later.
   * @throws MultifdError ERR_EXISTS if another file took the name meanwhile; ERR_IO.
   */
  async commit(): Promise<Stamp> {
    let written: Stamp;
    try {
      await io(`write ${this.path} to the disk`, this.handle.sync());
      written = stampOf(await io(`look at ${this.path}`, this.handle.stat({ bigint: true })));
      await this.#close();
      await giveName(this.#hidden.with(PART), this.path, { force: this.#force, takesBack: true });
    } catch (error) {
      await this.discard();
      throw error;
    }
    this.#hidden.release();
    await removeSuperseded(this.path);
    return stampOnceNamed(this.path, written);
  }

  /**
   * Removes the hidden file, if it is there still. Never throws, so that it can follow any error.
   */
  async discard(): Promise<void> {
    await this.#close().catch(() => undefined);
    await rm(this.#hidden.with(PART), { force: true }).catch(() => undefined);
    this.#hidden.release();
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await io(`close ${this.path}`, this.handle.close());
  }
}

/**
 * Removes what is left over of files of that name that were never finished; what can still become
 * the file stays. Only if the process that left it is provably gone. Never throws.
 */
export async function removeUnfinished(path: string): Promise<void> {
  const setAside = new Set(
    (await hiddenBeside(path).catch(() => []))
      .filter(({ suffix }) => suffix === SET_ASIDE)
      .map(({ stem }) => stem),
  );
  await removeLeftOver(
    path,
    ({ suffix, stem }) => suffix === PART || (suffix === SIDECAR && !setAside.has(stem)),
  );
}

/**
 * Removes all that is left over of files of that name, now that a new one has it, lasting. Only if
 * the process that left it is provably gone. Never throws.
 */
export async function removeSuperseded(path: string): Promise<void> {
  await removeLeftOver(path, () => true);
}

/**
 * Gives a file that is on the disk its name in place of its hidden one. The folder is synced before
 * the hidden one goes: after a power cut, one of them is there.
 *
 * @param options.force replace a file that has the name.
 * @param options.takesBack take the name away again if the folder can't be synced, unless it has
 *   replaced another file. Only for a file that may be lost then: the disk may not have its hidden
 *   name either.
 * @throws MultifdError ERR_EXISTS if the name is taken and `force` is not set: the file has its
 *   hidden name then; ERR_IO.
 */
export async function giveName(
  temporary: string,
  path: string,
  { force = false, takesBack = false } = {},
): Promise<void> {
  if (!force) {
    // A link fails when the name is taken, a rename replaces it: only the link cannot lose a file
    // in a race.
    const refused = await link(temporary, path).then(() => undefined, systemCodeOrThrow);
    if (refused === undefined) {
      await lasting(path, takesBack ? () => takeBack(temporary, path) : undefined);
      // It has its name, which is what counts; a second, hidden one does no harm.
      await rm(temporary).catch(() => undefined);
      return;
    }
    if (refused === 'EEXIST') throw taken(path);
    // This file system has no links; what is left is to look, then rename.
  }
  const replaced = await refuseToReplace(path, force);
  await io(`give the file its name ${path}`, rename(temporary, path));
  await lasting(path, takesBack && !replaced ? () => rename(path, temporary) : undefined);
}

/**
 * Syncs the folder of a name that was just given; when that fails, takes it back if there is a way.
 */
async function lasting(path: string, takeItBack?: () => Promise<void>): Promise<void> {
  try {
    await syncFolder(dirname(path));
  } catch (thrown) {
    const isBack =
      takeItBack !== undefined &&
      (await takeItBack().then(
        () => true,
        () => false,
      ));
    if (isBack) throw thrown;
    const { code, message } = MultifdError.from(thrown);
    const now = `${path} is the new one now and whole, but may not outlast a power cut`;
    throw new MultifdError(code, `${message}; ${now}`, { cause: thrown });
  }
}

/** Takes away a name that was just given by a link, unless another file has it by now. */
async function takeBack(temporary: string, path: string): Promise<void> {
  const [own, found] = [await statIfThere(temporary), await statIfThere(path)];
  if (own !== undefined && own.ino === found?.ino && own.dev === found.dev)
    await io(`take back the name ${path}`, rm(path));
}

/** @returns whether a file is there, which may be replaced. */
async function refuseToReplace(path: string, force: boolean): Promise<boolean> {
  if (basename(path) === '')
    throw new MultifdError('ERR_IO', `"${path}" is not the name of a file`);
  const found = await statIfThere(path);
  if (found === undefined) return false;
  if (!found.isFile())
    throw new MultifdError(
      'ERR_IO',
      `${path} is there and is not a regular file; choose another name`,
    );
  if (!force) throw taken(path);
  return true;
}

function taken(path: string): MultifdError {
  return new MultifdError(
    'ERR_EXISTS',
    `${path} is there already; choose another name, or replace it (force)`,
  );
}

function systemCodeOrThrow(error: unknown): string {
  const code = systemCode(error);
  if (code === undefined) throw error;
  return code;
}
