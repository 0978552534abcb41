import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readdir, rename, rm, rmdir, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { MultifdError } from '../errors.ts';
import { io, syncFolder, systemCode } from '../image/index.ts';
import { isOwnName } from './names.ts';

/**
 * A recording's folder that is complete or absent. It is filled under a hidden name in the same folder, and gets its own name in {@link commit}, when
 * all of it is on the disk. A process that is killed leaves the hidden folder (`.multifd-*.part`) only.
 */
export class OutputFolder {
  readonly #path: string;
  readonly #hidden: string;
  readonly #force: boolean;
  readonly #files: FileHandle[] = [];

  private constructor(path: string, hidden: string, force: boolean) {
    this.#path = path;
    this.#hidden = hidden;
    this.#force = force;
  }

  /**
   * @param force replace a recording, or an empty folder, that is there. Anything else is never replaced.
   * @throws MultifdError ERR_EXISTS if something is there that may not be replaced; ERR_IO.
   */
  static async create(path: string, force: boolean): Promise<OutputFolder> {
    const whole = resolve(path);
    await looksFree(whole, force);
    const hidden = hiddenBeside(whole);
    await io(`create a folder beside ${whole}`, mkdir(hidden));
    return new OutputFolder(whole, hidden, force);
  }

  /** A new file in the folder, open for writing until the end. Throws MultifdError ERR_IO. */
  async file(name: string): Promise<FileHandle> {
    const handle = await io(`create ${name} of ${this.#path}`, open(join(this.#hidden, name), 'wx'));
    this.#files.push(handle);
    return handle;
  }

  /**
   * Puts all files on the disk and gives the folder its name. On failure it stays under the hidden name, which the error says: what came may be whole.
   * @throws MultifdError ERR_EXISTS if something else took the name meanwhile; ERR_IO.
   */
  async commit(): Promise<void> {
    try {
      for (const file of this.#files) await io(`write ${this.#path} to the disk`, file.sync());
      await this.#closeFiles();
      await syncFolder(this.#hidden);
      await this.#takeName();
    } catch (thrown) {
      await this.#closeFiles().catch(() => undefined);
      const { code, message } = MultifdError.from(thrown);
      throw new MultifdError(code, `${message}; what came is kept in ${await this.#keep()}`, { cause: thrown });
    }
    await syncFolder(dirname(this.#path));
  }

  /** A file of the folder once that has its name, for what comes late. {@link settle} closes it. Throws MultifdError ERR_IO. */
  async reopen(name: string): Promise<FileHandle> {
    const handle = await io(`open ${name} of ${this.#path}`, open(join(this.#path, name), 'r+'));
    this.#files.push(handle);
    return handle;
  }

  /** Puts what came late on the disk. Throws MultifdError ERR_IO. */
  async settle(): Promise<void> {
    try {
      for (const file of this.#files) await io(`write ${this.#path} to the disk`, file.sync());
    } finally {
      await this.#closeFiles();
    }
  }

  /** Gives it a hidden name that is not one of what a process left behind; the name it has. */
  async #keep(): Promise<string> {
    const kept = this.#hidden.replace(/\.part$/, '.kept');
    return rename(this.#hidden, kept).then(
      () => kept,
      () => this.#hidden,
    );
  }

  /** Removes all of it. Never throws, so that it can follow any error. */
  async discard(): Promise<void> {
    await this.#closeFiles().catch(() => undefined);
    await rm(this.#hidden, { recursive: true, force: true }).catch(() => undefined);
  }

  async #closeFiles(): Promise<void> {
    for (const file of this.#files.splice(0)) await io(`close a file of ${this.#path}`, file.close());
  }

  async #takeName(): Promise<void> {
    const replaced = (await looksFree(this.#path, this.#force)) ? undefined : hiddenBeside(this.#path);
    if (replaced !== undefined) await io(`move ${this.#path} out of the way`, rename(this.#path, replaced));
    try {
      // Should something have come by now, no rename of a folder replaces more than an empty folder.
      await rename(this.#hidden, this.#path);
    } catch (cause) {
      if (replaced !== undefined) await rename(replaced, this.#path).catch(() => undefined);
      if (['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes(systemCode(cause) ?? '')) throw taken(this.#path);
      throw new MultifdError('ERR_IO', `cannot give the recording its name ${this.#path}: ${(cause as Error).message}`, { cause });
    }
    if (replaced !== undefined) await removeRecording(replaced);
  }
}

/**
 * Whether nothing has the name; false when something has it that may be replaced.
 * @throws MultifdError ERR_EXISTS when it may not.
 */
async function looksFree(path: string, force: boolean): Promise<boolean> {
  if (basename(path) === '') throw new MultifdError('ERR_IO', `${path} is not the name of a folder to make`);
  const found = await io(
    `look for ${path}`,
    lstat(path).catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw error;
    }),
  );
  if (found === undefined) return true;
  if (!force) throw taken(path);
  const entries = found.isDirectory() ? await io(`read ${path}`, readdir(path, { withFileTypes: true })) : undefined;
  // Whoever mistypes a name shall not lose a folder of other things over it.
  if (entries === undefined || !entries.every((entry) => entry.isFile() && isOwnName(entry.name))) {
    throw new MultifdError('ERR_EXISTS', `${path} is there already, and is not a recording, so that it is not replaced; choose another name`);
  }
  return false;
}

function taken(path: string): MultifdError {
  return new MultifdError('ERR_EXISTS', `${path} is there already; choose another name, or ask to overwrite it`);
}

/** Nothing but a recording's files, so that what was put there meanwhile stays, in a hidden folder. The new recording stands by now. */
async function removeRecording(path: string): Promise<void> {
  try {
    for (const name of await readdir(path)) if (isOwnName(name)) await rm(join(path, name));
    await rmdir(path);
  } catch {
    // What is left over is in nobody's way.
  }
}

function hiddenBeside(path: string): string {
  return join(dirname(path), `.multifd-${process.pid}-${randomBytes(6).toString('hex')}.part`);
}
