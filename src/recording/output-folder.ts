import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { MultifdError } from '../util/errors.ts';
import { HiddenName, KEPT } from '../files/hidden.ts';
import { io, statIfThere, syncFolder, systemCode } from '../files/io.ts';
import {
  checkReplaceable,
  finishReplacing,
  looksFree,
  NEW,
  OLD,
  PART,
  removeLeftOverFolders,
  removeRecording,
  taken,
} from './replacing.ts';

/**
 * A recording's folder that is complete or absent. It is filled under a hidden name in the same
 * folder, and gets its own name in {@link commit}, when all of it is on the disk. A process that is
 * killed leaves the hidden folder (`.multifd-*.part`) only, and the next recording of that name
 * removes it, if that process is provably gone.
 *
 * No file system that Node knows of swaps two folders in one step. Where a recording is replaced,
 * neither has the name for a moment:
 *
 *     step                                   NAME    .multifd-X.new  .multifd-X.old
 *     1 the new one is called whole          old     new             -
 *     2 the old one loses its name           absent  new             old
 *     3 the new one gets it                  new     -               old
 *     4 the old one is removed               new     -               -
 *
 * Each of 1 to 3 is on the disk before the next begins. When the name is absent, and both of the
 * others are there, step 3 is done by the next `record`, `inspect` or `replay`, at any time.
 *
 * Memory can hold anything secret: the folder and its files are their owner's alone.
 */
export class OutputFolder {
  readonly #path: string;
  readonly #hidden: HiddenName;
  /** Where the files are as long as they are hidden. */
  #folder: string;
  readonly #force: boolean;
  readonly #files: FileHandle[] = [];
  /** The folder is not to be removed any more. */
  #stays = false;

  private constructor(path: string, hidden: HiddenName, force: boolean) {
    this.#path = path;
    this.#hidden = hidden;
    this.#folder = hidden.with(PART);
    this.#force = force;
  }

  /**
   * @param force replace a recording, or an empty folder, that is there. Anything else is never
   *   replaced.
   * @throws MultifdError ERR_EXISTS if something is there that may not be replaced; ERR_IO, also if
   *   the folder it is in can't be synced.
   */
  static async create(path: string, force: boolean): Promise<OutputFolder> {
    const whole = resolve(path);
    const parent = dirname(whole);
    await finishReplacing(whole);
    await looksFree(whole, force);
    // Before any work is done; and what is removed next must not be what the disk still needs.
    await syncFolder(parent);
    await removeLeftOverFolders(whole, false);
    const hidden = await io(`look into ${parent}`, HiddenName.beside(whole));
    try {
      await io(`create a folder beside ${whole}`, mkdir(hidden.with(PART), { mode: 0o700 }));
    } catch (error) {
      hidden.release();
      throw error;
    }
    return new OutputFolder(whole, hidden, force);
  }

  /** A new file in the folder, open for writing until the end. Throws MultifdError ERR_IO. */
  async file(name: string): Promise<FileHandle> {
    const handle = await io(
      `create ${name} of ${this.#path}`,
      open(join(this.#folder, name), 'wx', 0o600),
    );
    this.#files.push(handle);
    return handle;
  }

  /**
   * Puts all files on the disk and gives the folder its name, which is on the disk then too. On
   * failure it stays under a hidden name, which the error says, for what came may be whole; what
   * had the name before has it still. But once it has its name it stays there: should that not get
   * to the disk, the message says so.
   * @throws MultifdError ERR_EXISTS if something else took the name meanwhile; ERR_IO.
   */
  async commit(): Promise<void> {
    try {
      for (const file of this.#files) await io(`write ${this.#path} to the disk`, file.sync());
      await this.#closeFiles();
      await syncFolder(this.#folder);
      await finishReplacing(this.#path);
      if (await looksFree(this.#path, this.#force)) await this.#take();
      else await this.#replace();
    } catch (thrown) {
      await this.#closeFiles().catch(() => undefined);
      if (this.#stays) throw thrown;
      const kept = await this.#keep();
      this.#hidden.release();
      const { code, message } = MultifdError.from(thrown);
      throw new MultifdError(code, `${message}; what came is kept in ${kept}`, { cause: thrown });
    }
    this.#hidden.release();
    await removeLeftOverFolders(this.#path, true);
  }

  /**
   * A file of the folder once that has its name, for what comes late. {@link settle} closes it.
   * Throws MultifdError ERR_IO.
   */
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

  /** Gives it a hidden name that nothing removes; the name it has. */
  async #keep(): Promise<string> {
    this.#stays = true;
    const kept = this.#hidden.with(KEPT);
    return rename(this.#folder, kept).then(
      () => kept,
      () => this.#folder,
    );
  }

  /**
   * Closes its files, and removes it, unless it has its name or is kept. Never throws, so that it
   * can follow any error.
   */
  async discard(): Promise<void> {
    await this.#closeFiles().catch(() => undefined);
    if (!this.#stays)
      await rm(this.#folder, { recursive: true, force: true }).catch(() => undefined);
    this.#hidden.release();
  }

  async #closeFiles(): Promise<void> {
    for (const file of this.#files.splice(0))
      await io(`close a file of ${this.#path}`, file.close());
  }

  async #take(): Promise<void> {
    await this.#rename(await this.#identityOf(this.#folder));
    await this.#outlast();
  }

  async #replace(): Promise<void> {
    const parent = dirname(this.#path);
    const name = await io(`look into ${parent}`, HiddenName.beside(this.#path));
    const [whole, old] = [name.with(NEW), name.with(OLD)];
    try {
      await io(`call ${this.#folder} whole`, rename(this.#folder, whole));
      this.#folder = whole;
      await syncFolder(parent);
      const identity = await this.#identityOf(whole);
      await io(`move ${this.#path} out of the way`, rename(this.#path, old));
      try {
        // It may have become something else since it was checked.
        await checkReplaceable(old, this.#path);
        await syncFolder(parent);
        await this.#rename(identity);
      } catch (error) {
        throw await this.#bringBack(old, name.with(KEPT), error);
      }
      await this.#outlast();
      await removeRecording(old);
    } finally {
      name.release();
    }
  }

  /** What tells the folder of that name from any other. */
  async #identityOf(path: string): Promise<string> {
    const found = await statIfThere(path);
    return `${found?.dev} ${found?.ino}`;
  }

  async #rename(identity: string): Promise<void> {
    try {
      // Should something have come by now, no rename of a folder replaces more than an empty
      // folder.
      await rename(this.#folder, this.#path);
    } catch (cause) {
      const code = systemCode(cause) ?? '';
      if (['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes(code)) throw taken(this.#path);
      // Another process that opened the recording at this moment may have given it its name.
      if (code !== 'ENOENT' || (await this.#identityOf(this.#path)) !== identity) {
        throw new MultifdError(
          'ERR_IO',
          `cannot give the recording its name ${this.#path}: ${(cause as Error).message}`,
          { cause },
        );
      }
    }
    this.#stays = true;
  }

  /** Makes the name that the folder has got by now outlast a power cut. */
  async #outlast(): Promise<void> {
    try {
      await syncFolder(dirname(this.#path));
    } catch (thrown) {
      const { code, message } = MultifdError.from(thrown);
      throw new MultifdError(
        code,
        `${message}; ${this.#path} is the new recording and whole, but may not outlast a ` +
          'power cut',
        { cause: thrown },
      );
    }
  }

  /** Gives the old one its name back; where a third has it by now, nothing removes the old one. */
  async #bringBack(old: string, kept: string, thrown: unknown): Promise<MultifdError> {
    const { code, message } = MultifdError.from(thrown);
    let left = '';
    try {
      if ((await statIfThere(this.#path)) === undefined) {
        await rename(old, this.#path);
      } else {
        await rename(old, kept);
        left = `; what had its name before is now ${kept}`;
      }
      await syncFolder(dirname(this.#path));
    } catch {
      // The disk may have the name for neither, and then finds the new one by being called whole:
      // it has to be that.
      this.#stays = true;
      left = `; what had its name before may be ${old}, and the new recording ${this.#folder}`;
    }
    return new MultifdError(code, message + left, { cause: thrown });
  }
}
