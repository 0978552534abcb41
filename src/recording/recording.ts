import { constants } from 'node:fs';
import { open, opendir, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { MultifdError } from '../errors.ts';
import { io, systemCode } from '../image/index.ts';
import type { ByteSource } from '../stream/index.ts';
import { connectionOf, type ConnectionId, dataName, MAX_CHANNELS, RETURN_PATH, timesName } from './names.ts';

/** A file of a recording. Its length is what it was when it was opened: what is added later is not read. */
export class RecordedFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly #handle: FileHandle;

  constructor(path: string, size: number, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
  }

  /**
   * Fills the start of `into` with bytes from `position` on; gives their number, 0 only at the end.
   * @throws MultifdError ERR_IO; ERR_RECORDING when the file has become shorter.
   */
  async read(into: Uint8Array, position: number): Promise<number> {
    const wanted = Math.min(into.length, this.size - position);
    if (wanted <= 0) return 0;
    const { bytesRead } = await io(`read ${this.path}`, this.#handle.read(into, 0, wanted, position));
    if (bytesRead === 0) throw new MultifdError('ERR_RECORDING', `${this.path} was cut short while it was read`, { offset: position });
    return bytesRead;
  }

  /** All of it in order, as a connection would bring it. */
  source(): ByteSource {
    let position = 0;
    return {
      read: async (into) => {
        const count = await this.read(into, position);
        position += count;
        return count;
      },
    };
  }

  async close(): Promise<void> {
    await io(`close ${this.path}`, this.#handle.close());
  }
}

/** An open recording. What its files contain is not known to be right. */
export interface Recording {
  readonly path: string;
  readonly main: RecordedFile;
  /** By id, from 0 on. */
  readonly channels: readonly RecordedFile[];
  /** When the bytes of a connection came; undefined if that was not kept. The caller closes it. */
  times(connection: ConnectionId): Promise<RecordedFile | undefined>;
  /** What the source was answered; undefined if it did not ask. The caller closes it. */
  answers(): Promise<RecordedFile | undefined>;
  close(): Promise<void>;
}

/**
 * Opens a recording's folder. Files that are none of a recording's are left alone.
 * @throws MultifdError ERR_IO; ERR_RECORDING if it is no folder, has no main channel, lacks a channel, or something else than a regular file
 *   has the name of one.
 */
export async function openRecording(path: string): Promise<Recording> {
  if (!(await io(`open ${path}`, stat(path))).isDirectory()) throw new MultifdError('ERR_RECORDING', `${path} is not a folder; a recording is one`);
  const ids = new Set<ConnectionId>();
  // One by one: a folder can have any number of other files.
  const entries = await io(`read ${path}`, opendir(path));
  const collect = async (): Promise<void> => {
    for await (const { name } of entries) {
      const id = connectionOf(name);
      if (id !== undefined) ids.add(id);
    }
  };
  await io(`read ${path}`, collect());
  if (!ids.delete('main')) throw new MultifdError('ERR_RECORDING', `${path} is not a recording: it has no file ${dataName('main')}`);
  const opened: RecordedFile[] = [];
  const close = async (): Promise<void> => {
    for (const file of opened.splice(0)) await file.close();
  };
  const openAll = async (id: ConnectionId): Promise<RecordedFile> => {
    const file = await openFile(path, dataName(id));
    if (file === undefined) throw new MultifdError('ERR_RECORDING', `${path} has no file ${dataName(id)}, but channels with higher ids`);
    opened.push(file);
    return file;
  };
  try {
    const main = await openAll('main');
    const channels: RecordedFile[] = [];
    for (let id = 0; id < Math.min(MAX_CHANNELS, Math.max(-1, ...ids as Set<number>) + 1); id++) channels.push(await openAll(id));
    return { path, main, channels, times: (connection) => openFile(path, timesName(connection)), answers: () => openFile(path, RETURN_PATH), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Undefined if it is not there. */
async function openFile(folder: string, name: string): Promise<RecordedFile | undefined> {
  const path = join(folder, name);
  // A recording may come from anywhere: no symbolic link leads out of it, and no pipe makes us wait. (Windows has neither flag.)
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  let handle: FileHandle;
  try {
    handle = await open(path, flags);
  } catch (cause) {
    const code = systemCode(cause);
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP' || code === 'ENXIO') throw irregular(path);
    throw new MultifdError('ERR_IO', `cannot open ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    const found = await io(`look at ${path}`, handle.stat());
    if (!found.isFile()) throw irregular(path);
    return new RecordedFile(path, found.size, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function irregular(path: string): MultifdError {
  return new MultifdError('ERR_RECORDING', `${path} is not a regular file, as those of a recording are`);
}
