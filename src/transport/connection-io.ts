import { MultifdError } from '../util/errors.ts';
import type { Input, Connection, Output } from './connection.ts';

/**
 * Reads a connection into memory that is there already: works for whatever carries it, at the price
 * of one copy.
 */
export class ConnectionInput implements Input {
  readonly #connection: Connection;
  readonly #channel: number | 'main';
  readonly #onBytes: (bytes: number) => void;
  #chunk: Uint8Array;
  #offset: number;
  #stopped = false;
  #ended = false;
  #wake: (() => void) | undefined;

  /**
   * @param prefix bytes of the connection that were read before, but not used.
   * @param offset where in the connection's stream the prefix begins.
   */
  constructor(
    connection: Connection,
    channel: number | 'main',
    prefix: Uint8Array,
    offset: number,
    onBytes: (bytes: number) => void = () => {},
  ) {
    this.#connection = connection;
    this.#channel = channel;
    this.#onBytes = onBytes;
    this.#chunk = prefix;
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  async fill(views: readonly Uint8Array[]): Promise<boolean> {
    let started = false;
    for (const view of views) {
      for (let at = 0; at < view.length; ) {
        const count = await this.read(at === 0 ? view : view.subarray(at));
        if (count === 0) {
          if (!started && this.#connection.broken === undefined) return false;
          if (this.#stopped) return false;
          throw this.#closed();
        }
        started = true;
        at += count;
      }
    }
    return true;
  }

  /** At least one byte into `into`, or 0 at the end. As a source for a byte reader. */
  async read(into: Uint8Array): Promise<number> {
    while (this.#chunk.length === 0) {
      if (this.#stopped || this.#ended) return 0;
      const next = this.#connection.read();
      const chunk = next instanceof Promise ? await this.#unlessStopped(next) : next;
      if (chunk === undefined) this.#ended = true;
      else this.#chunk = chunk;
    }
    const count = Math.min(into.length, this.#chunk.length);
    into.set(this.#chunk.subarray(0, count));
    this.#chunk = this.#chunk.subarray(count);
    this.#offset += count;
    this.#onBytes(count);
    return count;
  }

  /** Undefined once stopped: what comes after that is dropped. */
  #unlessStopped(next: Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.#wake = () => resolve(undefined);
      next.then(resolve, reject);
    });
  }

  #closed(): MultifdError {
    const { broken } = this.#connection;
    const why = broken === undefined ? '' : `: ${broken.message}`;
    return new MultifdError(
      broken instanceof MultifdError ? broken.code : 'ERR_PEER_CLOSED',
      `the peer closed the connection in the middle of a message${why}`,
      { channel: this.#channel, offset: this.#offset, cause: broken },
    );
  }
}

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
