import { MultifdError } from '../util/errors.ts';
import type { Connection } from './connection.ts';
import type { Output } from './output.ts';

/** Writes to a connection, in order, each call resolved once the memory may be used again. */
export class ConnectionOutput implements Output {
  readonly gathers = false;
  readonly #connection: Connection;
  readonly #channel: number | 'main';
  readonly #onBytes: (bytes: number) => void;
  #offset = 0;

  /** @param onBytes called with each piece's length as it leaves. */
  constructor(
    connection: Connection,
    channel: number | 'main',
    onBytes: (bytes: number) => void = () => {},
  ) {
    this.#connection = connection;
    this.#channel = channel;
    this.#onBytes = (bytes) => {
      this.#offset += bytes;
      onBytes(bytes);
    };
  }

  /** @throws MultifdError ERR_PEER_CLOSED when the peer has gone. */
  write(views: readonly Uint8Array[]): Promise<void> {
    if (!this.#connection.writable) return Promise.reject(this.#closed());
    return this.#connection.write(views, this.#onBytes).catch(() => {
      throw this.#closed();
    });
  }

  /** Says that nothing more comes; what the peer sends can still be read. */
  end(): void {
    this.#connection.end();
  }

  #closed(): MultifdError {
    const { broken } = this.#connection;
    const why = broken === undefined ? '' : `: ${broken.message}`;
    return new MultifdError(
      broken instanceof MultifdError ? broken.code : 'ERR_PEER_CLOSED',
      `the peer closed the connection${why}`,
      { channel: this.#channel, offset: this.#offset, cause: broken },
    );
  }
}
