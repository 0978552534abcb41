import { closeSync, fstatSync, openSync, readSync, readv, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { MultifdError } from '../../errors.ts';
import { isNode } from '../../runtime.ts';
import { behind } from '../../transport/node/views.ts';

/** Files at positions, for channels in any thread. */

/** Whether a file's descriptor means the same file in every thread. Deno's are those of the thread that opened it. */
export const DESCRIPTORS_CROSS_THREADS = process.versions['deno'] === undefined;

/** Reads at a position; what lies behind the file's end reads as zeros. @throws MultifdError ERR_IO. */
export function readAt(fd: number, into: Uint8Array, position: number): void {
  for (let at = 0; at < into.length; ) {
    const count = attempt('read', position + at, () => readSync(fd, into, at, into.length - at, position + at));
    if (count === 0) {
      into.fill(0, at);
      return;
    }
    at += count;
  }
}

/** Whether the runtime has threads of its own that read files into any memory, so that none have to be started for it. Node's are libuv's. */
export const READS_ASIDE = isNode();

const readPieces = promisify(readv);

/** Reads at a position into pieces of memory, as many as one call takes, without blocking; what lies behind the file's end reads as zeros. @throws MultifdError ERR_IO. */
export async function readAside(fd: number, pieces: readonly Uint8Array[], position: number): Promise<void> {
  let at = position;
  for (let rest = pieces; rest.length > 0; ) {
    const { bytesRead } = await readPieces(fd, rest, at).catch((cause: unknown) => {
      throw failure('read', at, cause);
    });
    if (bytesRead === 0) return rest.forEach((piece) => void piece.fill(0));
    at += bytesRead;
    rest = behind(rest, bytesRead);
  }
}

/** Writes at a position, side by side with other threads. @throws MultifdError ERR_IO. */
export function writeAt(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) {
    at += attempt('write', position + at, () => writeSync(fd, bytes, at, bytes.length - at, position + at));
  }
}

function attempt(verb: string, offset: number, call: () => number): number {
  try {
    return call();
  } catch (cause) {
    throw failure(verb, offset, cause);
  }
}

function failure(verb: string, offset: number, cause: unknown): MultifdError {
  return new MultifdError('ERR_IO', `can't ${verb} the file: ${(cause as Error).message}`, { offset, cause });
}

export interface OpenFile {
  fd: number;
  /** Bytes. */
  size: number;
  close(): void;
}

/** Opens a file to be read. @throws MultifdError ERR_IO. */
export function openFile(path: string): OpenFile {
  try {
    const fd = openSync(path, 'r');
    return { fd, size: fstatSync(fd).size, close: () => closeSync(fd) };
  } catch (cause) {
    throw new MultifdError('ERR_IO', `can't read ${path}: ${(cause as Error).message}`, { cause });
  }
}
