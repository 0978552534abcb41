import { randomBytes } from 'node:crypto';
import { link, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MultifdError } from '../errors.ts';
import { io, statIfThere, systemCode } from './io.ts';
import { type Stamp, stampOf, stampOnceNamed } from './stamp.ts';

/** Permission bits: memory can hold anything secret, so what is made of it is its owner's alone. */
const OWNER_ONLY = 0o600;

export interface FileOutputOptions {
  /** Replace a file that is there already; default false. */
  force?: boolean;
}

/**
 * A file that is complete or absent. It is written under a hidden name in the same folder, and gets its own name in
 * {@link commit}, when it is whole and on the disk. A process that is killed leaves the hidden file (`.multifd-*.part`) only.
 */
export class FileOutput {
  readonly path: string;
  readonly handle: FileHandle;
  readonly #temporary: string;
  readonly #force: boolean;
  #open = true;

  private constructor(path: string, temporary: string, handle: FileHandle, force: boolean) {
    this.path = path;
    this.#temporary = temporary;
    this.handle = handle;
    this.#force = force;
  }

  /**
   * @throws MultifdError ERR_EXISTS if the file is there and `force` is not set; ERR_IO if it is there and is no regular file,
   *   or the folder cannot be written to.
   */
  static async create(path: string, options: FileOutputOptions = {}): Promise<FileOutput> {
    const force = options.force ?? false;
    await refuseToReplace(path, force);
    const temporary = `${hiddenName(path)}.part`;
    const handle = await io(`create a file beside ${path}`, open(temporary, 'wx+', OWNER_ONLY));
    return new FileOutput(path, temporary, handle, force);
  }

  /**
   * Puts the content on the disk and gives the file its name. On failure the hidden file is removed.
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
      await giveName(this.#temporary, this.path, this.#force);
    } catch (error) {
      await this.discard();
      throw error;
    }
    await syncFolder(dirname(this.path));
    return stampOnceNamed(this.path, written);
  }

  /** Removes the hidden file, if it is there still. Never throws, so that it can follow any error. */
  async discard(): Promise<void> {
    await this.#close().catch(() => undefined);
    await rm(this.#temporary, { force: true }).catch(() => undefined);
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await io(`close ${this.path}`, this.handle.close());
  }
}

/** The beginning of a name, in the same folder, that nobody else has and no list of files shows. */
export function hiddenName(path: string): string {
  return join(dirname(path), `.multifd-${process.pid}-${randomBytes(6).toString('hex')}`);
}

/**
 * Gives a hidden file its name.
 *
 * @throws MultifdError ERR_EXISTS if the name is taken and `force` is not set; ERR_IO.
 */
export async function giveName(temporary: string, path: string, force: boolean): Promise<void> {
  const what = `give the file its name ${path}`;
  if (!force) {
    // A link fails when the name is taken, a rename replaces it: only the link cannot lose a file in a race.
    const refused = await link(temporary, path).then(() => undefined, systemCodeOrThrow);
    if (refused === undefined) {
      // It has its name, which is what counts; a second, hidden one does no harm.
      await rm(temporary).catch(() => undefined);
      return;
    }
    if (refused === 'EEXIST') throw taken(path);
    // This file system has no links; what is left is to look, then rename.
  }
  await refuseToReplace(path, force);
  await io(what, rename(temporary, path));
}

async function refuseToReplace(path: string, force: boolean): Promise<void> {
  if (basename(path) === '') throw new MultifdError('ERR_IO', `"${path}" is not the name of a file`);
  const found = await statIfThere(path);
  if (found === undefined) return;
  if (!found.isFile()) throw new MultifdError('ERR_IO', `${path} is there and is not a regular file; choose another name`);
  if (!force) throw taken(path);
}

function taken(path: string): MultifdError {
  return new MultifdError('ERR_EXISTS', `${path} is there already; choose another name, or ask to overwrite it`);
}

function systemCodeOrThrow(error: unknown): string {
  const code = systemCode(error);
  if (code === undefined) throw error;
  return code;
}

/** Makes the new name last through a power cut, where folders can be opened and synced at all. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r');
    await folder.sync().finally(() => folder.close());
  } catch {
    // Windows and some network file systems refuse; the file itself is on the disk and has its name.
  }
}
