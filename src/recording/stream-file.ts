import type { FileHandle } from 'node:fs/promises';
import { writeFully } from '../image/index.ts';
import { dataName, timesName, type ConnectionId } from './names.ts';
import type { OutputFolder } from './output-folder.ts';

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
