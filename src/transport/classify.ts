import { concat } from '../util/bytes.ts';
import type { ErrorCode } from '../util/errors.ts';
import type { Connection } from './connection.ts';

/**
 * What a connection turned out to be by its first bytes. `read` holds the bytes read so far, those
 * included.
 */
export type ClassifiedConnection = {
  /** `other`: it begins like none, and one that does is expected. */
  kind: 'main' | 'multifd' | 'other';
  connection: Connection;
  read: Uint8Array;
};

export interface ClassifierOptions {
  /**
   * Milliseconds that a connection has for its first bytes, then it is dropped; infinite for those
   * that we have opened ourselves.
   */
  timeout: number;
  /** Connections that have not said yet what they are, at a time. */
  maxUnknown: number;
  /** First four bytes of a main channel, and of a multifd channel. */
  magics: { main: number; multifd: number };
  /** Bytes of a multifd channel's initial packet: it arrives when these are there. */
  initialBytes: number;
  onClassified(arrival: ClassifiedConnection): void;
  /**
   * A connection that was none of ours: told, and forgotten. `code` is what kind of fault that is
   * where each connection counts.
   */
  onRejected?: ((why: string, code: ErrorCode) => void) | undefined;
}

const MAGIC_BYTES = 4;
/** First bytes of a TLS connection: a handshake record, of version 3 whatever the version. */
const TLS_RECORD = 0x1603;

/**
 * Takes the connections of one migration, which come in any order, and tells them apart. What is
 * none of them is dropped.
 */
export class ConnectionClassifier {
  readonly #options: ClassifierOptions;
  /** Each with the timer that drops it. */
  readonly #unknown = new Map<Connection, ReturnType<typeof setTimeout> | undefined>();
  #others = false;

  constructor(options: ClassifierOptions) {
    this.#options = options;
  }

  take(connection: Connection): void {
    const { timeout, maxUnknown } = this.#options;
    if (this.#unknown.size >= maxUnknown) {
      connection.destroy();
      return this.#options.onRejected?.(
        `dropped a connection from ${connection.peer}: ${maxUnknown} others have not said ` +
          'yet what ' +
          'they are',
        'ERR_CONNECT',
      );
    }
    const late = `it did not say what it is within ${timeout / 1000} s`;
    const waits = Number.isFinite(timeout) && !this.#others;
    const drop = (): void => this.#drop(connection, late, 'ERR_TIMEOUT');
    this.#unknown.set(connection, waits ? setTimeout(drop, timeout) : undefined);
    void this.#identify(connection);
  }

  /**
   * From now on a connection may say nothing for any time, and begin with anything: postcopy's
   * channel for urgent pages, and the main channel of a source that has come back, have no magic.
   */
  expectOthers(): void {
    this.#others = true;
    for (const timer of this.#unknown.values()) clearTimeout(timer);
  }

  /** Drops what has not said yet what it is; connections that arrived stay. */
  close(): void {
    for (const [connection, timer] of this.#unknown) {
      clearTimeout(timer);
      connection.destroy();
    }
    this.#unknown.clear();
  }

  async #identify(connection: Connection): Promise<void> {
    let read: Uint8Array = new Uint8Array(0);
    for (;;) {
      const chunk = await connection.read();
      if (!this.#unknown.has(connection)) return; // dropped meanwhile
      if (chunk === undefined)
        return this.#drop(
          connection,
          'it ' +
            `${connection.broken === undefined && !connection.closed ? 'ended' : 'was reset'} ` +
            'before it ' +
            'said what it is',
          'ERR_PEER_CLOSED',
        );
      read = read.length === 0 ? chunk : concat([read, chunk]);
      const found = this.#look(read);
      if (found === undefined) continue;
      if (typeof found === 'object') return this.#drop(connection, found.wrong, found.code);
      this.#forget(connection);
      return this.#options.onClassified({ kind: found, connection, read });
    }
  }

  /** @returns what it is, or what is wrong with it; undefined as long as it has not said enough. */
  #look(
    read: Uint8Array,
  ): ClassifiedConnection['kind'] | { wrong: string; code: ErrorCode } | undefined {
    const { magics, initialBytes } = this.#options;
    if (read.length < MAGIC_BYTES) return undefined;
    const magic = new DataView(read.buffer, read.byteOffset).getUint32(0);
    if (magic === magics.main) return 'main';
    if (magic >>> 16 === TLS_RECORD)
      return {
        wrong:
          'its first bytes are not those of a migration but of TLS: use TLS at both ends or ' +
          'at none',
        code: 'ERR_TLS',
      };
    if (magic !== magics.multifd && this.#others) return 'other';
    if (magic !== magics.multifd)
      return { wrong: 'its first bytes are not those of a migration', code: 'ERR_MAGIC' };
    return read.length >= initialBytes ? 'multifd' : undefined;
  }

  /** @returns whether it was unknown. */
  #forget(connection: Connection): boolean {
    clearTimeout(this.#unknown.get(connection));
    return this.#unknown.delete(connection);
  }

  #drop(connection: Connection, why: string, code: ErrorCode): void {
    if (!this.#forget(connection)) return;
    connection.destroy();
    this.#options.onRejected?.(`dropped a connection from ${connection.peer}: ${why}`, code);
  }
}
