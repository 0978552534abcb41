import { readSync, readv, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { features } from '../../util/runtime.ts';
import { behind } from '../../util/bytes.ts';
import { becameShorter, ioFailure } from '../local-file.ts';

export { ifThere, type LocalFile, openFile, openRegular, readText } from '../local-file.ts';

/** Files at positions, for channels in any thread. */

/**
 * Whether a file's descriptor means the same file in every thread. Deno's are those of the thread
 * that opened it.
 */
export const DESCRIPTORS_CROSS_THREADS = features().descriptorsCrossThreads;

/** A file that is open to be read. */
export interface ReadableFile {
  readonly fd: number;
  /** What errors call it. */
  readonly name: string;
}

/**
 * Fills `into` with what is at a position, all of which was in the file when it was opened.
 * @throws MultifdError ERR_IO.
 */
export function readAt({ fd, name }: ReadableFile, into: Uint8Array, position: number): void {
  for (let at = 0; at < into.length; ) {
    const offset = position + at;
    const read = (): number => readSync(fd, into, at, into.length - at, offset);
    const count = attempt(`read ${name}`, offset, read);
    if (count === 0) throw becameShorter(name, offset);
    at += count;
  }
}

/**
 * Whether the runtime has threads of its own that read files into any memory, so that none have to
 * be started for it. Node's are libuv's.
 */
export const READS_ASIDE = features().readsFilesAside;

const readPieces = promisify(readv);

/**
 * Fills pieces of memory, as many as one call takes, with what is at a position, all of which was
 * in the file when it was opened. Does not block.
 * @throws MultifdError ERR_IO.
 */
export async function readAside(
  { fd, name }: ReadableFile,
  pieces: readonly Uint8Array[],
  position: number,
): Promise<void> {
  let at = position;
  for (let rest = pieces; rest.length > 0; ) {
    const { bytesRead } = await readPieces(fd, rest, at).catch((cause: unknown) => {
      throw ioFailure(`read ${name}`, at, cause);
    });
    if (bytesRead === 0) throw becameShorter(name, at);
    at += bytesRead;
    rest = behind(rest, bytesRead);
  }
}

/** Writes at a position, side by side with other threads. @throws MultifdError ERR_IO. */
export function writeAt(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) {
    const offset = position + at;
    const write = (): number => writeSync(fd, bytes, at, bytes.length - at, offset);
    at += attempt('write the file', offset, write);
  }
}

function attempt(what: string, offset: number, call: () => number): number {
  try {
    return call();
  } catch (cause) {
    throw ioFailure(what, offset, cause);
  }
}
