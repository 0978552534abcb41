import type { FileHandle } from 'node:fs/promises';
import { writeFully } from '../files/io.ts';
import { dataName, timesName, type ConnectionId, type RecordedFile } from './recording.ts';
import type { OutputFolder } from './output-folder.ts';
import { MultifdError } from '../util/errors.ts';

/** Characters of times that are collected before they are written. */
const TIMES_BUFFER = 16 * 1024;

/** One connection on its way to the disk: its bytes, and when they came. One call at a time. */
export class StreamFile {
  readonly #identified: ConnectionId;
  #data: FileHandle;
  #times: FileHandle;
  #bytes = 0;
  #lines = '';
  #written = 0;
  /** The last time, whose line can still get more bytes. */
  #last: number | undefined;

  private constructor(identified: ConnectionId, data: FileHandle, times: FileHandle) {
    this.#identified = identified;
    this.#data = data;
    this.#times = times;
  }

  /** @throws MultifdError ERR_IO. */
  static async create(folder: OutputFolder, identified: ConnectionId): Promise<StreamFile> {
    return new StreamFile(
      identified,
      await folder.file(dataName(identified)),
      await folder.file(timesName(identified)),
    );
  }

  /**
   * @param milliseconds when it came, a whole number since the first connection; not before that
   *   of the last call.
   * @throws MultifdError ERR_IO.
   */
  async append(chunk: Uint8Array, milliseconds: number): Promise<void> {
    if (this.#last !== undefined && this.#last !== milliseconds) await this.#addLine(this.#last);
    this.#last = milliseconds;
    await writeFully(this.#data, chunk, this.#bytes);
    this.#bytes += chunk.length;
  }

  /** Goes on in a folder that has its name by now. @throws MultifdError ERR_IO. */
  async resume(folder: OutputFolder): Promise<void> {
    this.#data = await folder.reopen(dataName(this.#identified));
    this.#times = await folder.reopen(timesName(this.#identified));
  }

  /** Writes what was collected. Throws MultifdError ERR_IO. */
  async finish(): Promise<void> {
    if (this.#last !== undefined) await this.#addLine(this.#last);
    this.#last = undefined;
    await this.#writeLines();
  }

  /** One line for a millisecond, however many chunks it had. */
  async #addLine(milliseconds: number): Promise<void> {
    this.#lines += `${milliseconds} ${this.#bytes}\n`;
    if (this.#lines.length >= TIMES_BUFFER) await this.#writeLines();
  }

  async #writeLines(): Promise<void> {
    const lines = Buffer.from(this.#lines, 'latin1');
    this.#lines = '';
    await writeFully(this.#times, lines, this.#written);
    this.#written += lines.length;
  }
}

/** So many bytes of a connection had come at that time. */
export interface Arrived {
  /** Since the first connection. */
  readonly milliseconds: number;
  readonly bytes: number;
}

const CHUNK = 16 * 1024;
/** Two numbers of 16 digits at the most, the space and the line feed. */
const MAX_LINE = 34;
/** Node's timers hold no more: 24.8 days. */
const MAX_MILLISECONDS = 2 ** 31 - 1;

/**
 * The lines of a `.times` file, however long it is, in a few KiB of memory.
 * @throws MultifdError ERR_RECORDING for what is no such line, a number out of range, or one
 *   lower than in the line before; ERR_IO.
 */
export async function* readTimes(file: RecordedFile): AsyncGenerator<Arrived, void> {
  const chunk = new Uint8Array(CHUNK);
  let text = '';
  let last: Arrived = { milliseconds: 0, bytes: 0 };
  let line = 0;
  const broken = (why: string): MultifdError =>
    new MultifdError('ERR_RECORDING', `${file.path}, line ${line}: ${why}`);
  for (
    let position = 0, count = 0;
    (count = await file.read(chunk, position)) > 0;
    position += count
  ) {
    const lines = (text + Buffer.from(chunk.buffer, 0, count).toString('latin1')).split('\n');
    text = lines.pop()!;
    if (text.length > MAX_LINE) lines.push(text);
    for (const one of lines) {
      line++;
      const arrived = parseLine(one);
      if (arrived === undefined)
        throw broken('not "MILLISECONDS BYTES", or beyond 2^31 milliseconds');
      if (arrived.milliseconds < last.milliseconds || arrived.bytes < last.bytes)
        throw broken('time and bytes can only grow');
      yield (last = arrived);
    }
  }
  line++;
  if (text !== '') throw broken('the file was cut short in the middle of a line');
}

function parseLine(line: string): Arrived | undefined {
  const parts = /^(\d{1,10}) (\d{1,16})$/.exec(line);
  if (parts === null) return undefined;
  const arrived = { milliseconds: Number(parts[1]), bytes: Number(parts[2]) };
  return arrived.milliseconds <= MAX_MILLISECONDS && Number.isSafeInteger(arrived.bytes)
    ? arrived
    : undefined;
}
