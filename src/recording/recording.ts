import { opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere, openFile } from '#files';
import type { LocalFile } from '../files/local-file.ts';
import { MultifdError } from '../util/errors.ts';
import { io } from '../files/io.ts';
import type { ByteSource } from '../stream/index.ts';
import { finishReplacing } from './replacing.ts';

/**
 * A file of a recording. Its length is what it was when it was opened: what is added later is not
 * read.
 */
export class RecordedFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly #file: LocalFile;

  constructor(file: LocalFile) {
    this.path = file.name;
    this.size = file.size;
    this.#file = file;
  }

  /**
   * Fills the start of `into` with bytes from `position` on; gives their number, 0 only at the end.
   * @throws MultifdError ERR_IO, also when the file has become shorter.
   */
  read(into: Uint8Array, position: number): Promise<number> {
    return this.#file.read(position, into);
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

  /**
   * To be called behind the last read.
   * @throws MultifdError ERR_IO if the file has changed since it was opened.
   */
  verify(): Promise<void> {
    return this.#file.verify();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** An open recording. What its files contain is not known to be right. */
export interface Recording {
  readonly path: string;
  readonly main: RecordedFile;
  /** By id, from 0 on. */
  readonly channels: readonly RecordedFile[];
  /** When the bytes of a connection came; undefined if that was not kept. The caller closes it. */
  times(identified: ConnectionId): Promise<RecordedFile | undefined>;
  /** What the source was answered; undefined if it did not ask. The caller closes it. */
  answers(): Promise<RecordedFile | undefined>;
  /**
   * To be called behind the last read of the connections' files.
   * @throws MultifdError ERR_IO if one of them has changed since it was opened.
   */
  verify(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a recording's folder. Files that are none of a recording's are left alone. If it was to
 * replace another and that was cut off, it is given its name first.
 * @throws MultifdError ERR_IO; ERR_RECORDING if it is no folder, has no main channel, lacks a
 *   channel, or something else than a regular file has the name of one.
 */
export async function openRecording(path: string): Promise<Recording> {
  await finishReplacing(path);
  if (!(await io(`open ${path}`, stat(path))).isDirectory())
    throw new MultifdError('ERR_RECORDING', `${path} is not a folder; a recording is one`);
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
  if (!ids.delete('main'))
    throw new MultifdError(
      'ERR_RECORDING',
      `${path} is not a recording: it has no file ${dataName('main')}`,
    );
  const opened: RecordedFile[] = [];
  const close = async (): Promise<void> => {
    for (const file of opened.splice(0)) await file.close();
  };
  const openAll = async (id: ConnectionId): Promise<RecordedFile> => {
    const file = await openRecorded(path, dataName(id));
    if (file === undefined)
      throw new MultifdError(
        'ERR_RECORDING',
        `${path} has no file ${dataName(id)}, but channels with higher ids`,
      );
    opened.push(file);
    return file;
  };
  try {
    const main = await openAll('main');
    const channels: RecordedFile[] = [];
    for (let id = 0; id < Math.min(MAX_CHANNELS, Math.max(-1, ...(ids as Set<number>)) + 1); id++)
      channels.push(await openAll(id));
    return {
      path,
      main,
      channels,
      times: (identified) => openRecorded(path, timesName(identified)),
      answers: () => openRecorded(path, RETURN_PATH),
      async verify() {
        for (const file of opened) await file.verify();
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Undefined if it is not there. */
async function openRecorded(folder: string, name: string): Promise<RecordedFile | undefined> {
  // A recording may come from anywhere: no symbolic link leads out of it.
  const opening = openFile(join(folder, name), { follow: false, refusal: 'ERR_RECORDING' });
  const file = await ifThere(opening);
  return file && new RecordedFile(file);
}

/**
 * A recording is a folder with one file per connection, each the bytes as they came and nothing
 * else:
 *
 *     main          the main channel, a whole main stream
 *     channel-0     a multifd channel, from its initial packet on; channel-1, ... likewise
 *     main.times    when they came; one such file beside each of the above
 *     return-path   what the source was answered, if it asked to be
 *
 * A line of a `.times` file is `MILLISECONDS BYTES`: at that time since the first connection, so
 * many bytes of the file had come. Both numbers grow or stay from line to line.
 */
export const RETURN_PATH = 'return-path';

/** The most channels that initial packets can tell apart: their ids have one byte. */
export const MAX_CHANNELS = 256;

const TIMES = '.times';
const CHANNEL = /^channel-(0|[1-9]\d{0,2})$/;

/** A connection: the main channel, or a multifd channel's id. */
export type ConnectionId = number | 'main';

export function dataName(identified: ConnectionId): string {
  return identified === 'main' ? 'main' : `channel-${identified}`;
}

export function timesName(identified: ConnectionId): string {
  return dataName(identified) + TIMES;
}

/** The connection whose bytes a file of this name holds; undefined for any other file. */
export function connectionOf(name: string): ConnectionId | undefined {
  if (name === 'main') return 'main';
  const id = Number(CHANNEL.exec(name)?.[1] ?? MAX_CHANNELS);
  return id < MAX_CHANNELS ? id : undefined;
}

/** Whether a recording has files of this name. */
export function isOwnName(name: string): boolean {
  return (
    name === RETURN_PATH ||
    connectionOf(name.endsWith(TIMES) ? name.slice(0, -TIMES.length) : name) !== undefined
  );
}
