import { isSharedBuffer } from '../../util/bytes.ts';

/**
 * A file of the browser's own file system, a `FileSystemFileHandle`: what is used of it, for not
 * every program's types have it.
 */
export interface OpfsFile {
  readonly kind: 'file';
  readonly name: string;
  /** The file as it is now. */
  getFile(): Promise<Blob>;
  /** A stream, whose content the browser keeps beside the file until it is closed. */
  createWritable?(options?: { keepExistingData?: boolean }): Promise<WritableFile>;
  /** Only in dedicated workers. */
  createSyncAccessHandle?(): Promise<SyncFile>;
  /** To another name in the same folder, in place of what has it. */
  move?(name: string): Promise<void>;
}

/** What is used of a `FileSystemWritableFileStream`. Positions and lengths in bytes. */
export interface WritableFile {
  write(chunk: { type: 'write'; position: number; data: Uint8Array<ArrayBuffer> }): Promise<void>;
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}

/** What is used of a `FileSystemSyncAccessHandle`. Positions and lengths in bytes. */
export interface SyncFile {
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** Writes a file that nobody else may write meanwhile. Positions and lengths in bytes. */
export interface OpfsWriter {
  /** The memory may be used again once it resolves. */
  write(position: number, bytes: Uint8Array): void | Promise<void>;
  /** Everything is written, and is to last: the file has this length. */
  finish(length: number): Promise<void>;
  /** Lets the file go, whatever is in it. Never throws. */
  abandon(): Promise<void>;
}

/** The file is empty then. Throws what the browser throws, also if another writer has it. */
export function openOpfsFile(file: OpfsFile): Promise<OpfsWriter> {
  return typeof file.createSyncAccessHandle === 'function' ? openInPlace(file) : openStream(file);
}

async function openInPlace(file: OpfsFile): Promise<OpfsWriter> {
  const handle = await file.createSyncAccessHandle!();
  handle.truncate(0);
  return {
    write(position, bytes) {
      for (let at = 0; at < bytes.length; ) {
        const count = handle.write(unshared(bytes.subarray(at)), { at: position + at });
        if (count === 0) throw new Error('there is no room left');
        at += count;
      }
    },
    async finish(length) {
      handle.truncate(length);
      handle.flush();
      handle.close();
    },
    async abandon() {
      handle.close();
    },
  };
}

async function openStream(file: OpfsFile): Promise<OpfsWriter> {
  // `mode` is not in all types yet; where it is not known there can be two writers, and the one
  // that closes last counts.
  const options: { keepExistingData: boolean; mode: string } = {
    keepExistingData: false,
    mode: 'exclusive',
  };
  const stream = await file.createWritable!(options);
  return {
    // It is posted to another process, and shared memory can't be.
    write: (position, bytes) => stream.write({ type: 'write', position, data: bytes.slice() }),
    async finish(length) {
      await stream.truncate(length);
      await stream.close();
    },
    // What broke it has been told.
    abandon: () => stream.abort().catch(() => {}),
  };
}

/** The bytes in memory of one thread: not every browser writes from shared memory. */
function unshared(bytes: Uint8Array): Uint8Array {
  return isSharedBuffer(bytes.buffer) ? bytes.slice() : bytes;
}
