import { concat } from '../../util/bytes.ts';
import { ConnectionOutput } from '../../transport/connection-io.ts';
import type { Connection } from '../../transport/connection.ts';

const BUFFER_BYTES = 64 * 1024;

/** The main channel's outgoing half: small records, collected and written together. */
export class MainChannel {
  readonly #output: ConnectionOutput;
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  /** @param onBytes called with each piece's length as it leaves. */
  constructor(connection: Connection, onBytes: (bytes: number) => void) {
    this.#output = new ConnectionOutput(connection, 'main', onBytes);
  }

  /** Takes a record; undefined unless the buffer had to be written. */
  put(...records: Uint8Array[]): Promise<void> | undefined {
    for (const record of records) {
      this.#pieces.push(record);
      this.#bytes += record.length;
    }
    return this.#bytes >= BUFFER_BYTES ? this.flush() : undefined;
  }

  async flush(): Promise<void> {
    await this.#output.write([this.#take()]);
  }

  /** What was put, and `bytes` behind it. Resolves once their memory may be used again. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#output.write(this.#bytes > 0 ? [this.#take(), bytes] : [bytes]);
  }

  #take(): Uint8Array {
    const pieces = concat(this.#pieces);
    this.#pieces = [];
    this.#bytes = 0;
    return pieces;
  }

  /** Flushes, and says that nothing more comes. */
  async end(): Promise<void> {
    await this.flush();
    this.#output.end();
  }
}
