import { constants, type BigIntStats, type Stats } from 'node:fs';
import { lstat, open, stat, type FileHandle } from 'node:fs/promises';
import { MultifdError, type ErrorCode } from '../util/errors.ts';
import { io, systemCode } from './io.ts';
import type { RandomAccess } from './random-access.ts';

/**
 * The one place where files that a user names are opened. Only regular files are, and nothing else
 * is waited for.
 */

export interface OpenOptions {
  /** How to open it; default read only. */
  flags?: number;
  /** Whether a symbolic link leads to a file; default true. */
  follow?: boolean;
  /** What it is called if it is no regular file; default ERR_IO. */
  refusal?: ErrorCode;
}

/**
 * Opens a regular file. A FIFO without a writer would keep a thread of libuv's for ever, and with
 * it the process; a device may do something when it is opened, and its length is not known; so none
 * of these is opened.
 *
 * @throws MultifdError ERR_IO; `refusal` for what is no regular file.
 */
export async function openRegular(path: string, options: OpenOptions = {}): Promise<FileHandle> {
  const { flags = constants.O_RDONLY, follow = true, refusal = 'ERR_IO' } = options;
  demandRegular(path, await io(`open ${path}`, follow ? stat(path) : lstat(path)), refusal);
  // Something else may have got the name since: that is not waited for either. (Windows has none of
  // these flags.)
  const { O_NONBLOCK = 0, O_NOCTTY = 0, O_NOFOLLOW = 0 } = constants;
  const guarded = flags | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW);
  const handle = await io(`open ${path}`, open(path, guarded));
  try {
    demandRegular(path, await io(`look at ${path}`, handle.stat()), refusal);
    return handle;
  } catch (error) {
    await handle.close().catch(() => undefined);
    throw error;
  }
}

function demandRegular(path: string, found: Stats, refusal: ErrorCode): void {
  if (found.isFile()) return;
  const message = `cannot open ${path}: it is ${kindOf(found)}; give a regular file`;
  throw new MultifdError(refusal, message);
}

function kindOf(found: Stats): string {
  if (found.isFIFO()) return 'a pipe (FIFO)';
  if (found.isDirectory()) return 'a folder';
  if (found.isSocket()) return 'a socket';
  if (found.isBlockDevice()) return 'a block device';
  if (found.isCharacterDevice()) return 'a character device';
  return found.isSymbolicLink() ? 'a symbolic link' : 'something else';
}

/** What opening a file gives; undefined if there is no such file. */
export async function ifThere<T>(opening: Promise<T>): Promise<T | undefined> {
  return opening.catch((error: unknown) => {
    if (error instanceof MultifdError && systemCode(error.cause) === 'ENOENT') return undefined;
    throw error;
  });
}

/** All of a file as text. @throws what openRegular throws. */
export async function readText(path: string): Promise<string> {
  const handle = await openRegular(path);
  return io(`read ${path}`, handle.readFile('utf8')).finally(() => handle.close());
}

/**
 * A file that is open to be read. What it was when it was opened is what is read of it, or there is
 * an error.
 */
export class LocalFile implements RandomAccess {
  readonly name: string;
  /** Bytes when it was opened. What is added later is not read. */
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #opened: Stamp;

  constructor(name: string, handle: FileHandle, opened: Stamp) {
    this.name = name;
    this.size = Number(opened.size);
    this.#handle = handle;
    this.#opened = opened;
  }

  get fd(): number {
    return this.#handle.fd;
  }

  /** @throws MultifdError ERR_IO, also if the file has become shorter than it was. */
  async read(offset: number, into: Uint8Array): Promise<number> {
    const wanted = Math.min(into.length, this.size - offset);
    if (wanted <= 0) return 0;
    const reading = this.#handle.read(into, 0, wanted, offset);
    const { bytesRead } = await reading.catch((cause: unknown) => {
      throw ioFailure(`read ${this.name}`, offset, cause);
    });
    if (bytesRead === 0) throw becameShorter(this.name, offset);
    return bytesRead;
  }

  async sizeOnDisk(): Promise<number> {
    return Number((await this.#stat()).blocks) * 512;
  }

  /** @throws MultifdError ERR_IO if the file has been written to since it was opened. */
  async verify(): Promise<void> {
    if (sameContent(stampOf(await this.#stat()), this.#opened)) return;
    const why = 'so what was read of it may be old in part and new in part';
    const what = `${this.name} has changed since it was opened, ${why}`;
    throw new MultifdError('ERR_IO', `${what}; try again once nobody writes to it`);
  }

  async close(): Promise<void> {
    await io(`close ${this.name}`, this.#handle.close());
  }

  #stat(): Promise<BigIntStats> {
    return io(`look at ${this.name}`, this.#handle.stat({ bigint: true }));
  }
}

/** Opens a file to be read anywhere. @throws what openRegular throws. */
export async function openFile(path: string, options: OpenOptions = {}): Promise<LocalFile> {
  const handle = await openRegular(path, options);
  try {
    const found = await io(`look at ${path}`, handle.stat({ bigint: true }));
    return new LocalFile(path, handle, stampOf(found));
  } catch (error) {
    await handle.close().catch(() => undefined);
    throw error;
  }
}

export function ioFailure(what: string, offset: number, cause: unknown): MultifdError {
  const { message } = cause as Error;
  return new MultifdError('ERR_IO', `cannot ${what}: ${message}`, { offset, cause });
}

export function becameShorter(name: string, offset: number): MultifdError {
  return new MultifdError('ERR_IO', `${name} has become shorter since it was opened`, { offset });
}

/**
 * What tells whether a file is still the one that it was, with the content that it had: a
 * replacement has another inode, and a write changes its times. What leaves no
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
