import { concat } from '../util/bytes.ts';
import type { ErrorCode } from '../util/errors.ts';
import type { Connection } from './connection.ts';

/**
 * What a connection turned out to be by its first bytes. `read` holds the bytes read so far, those
 * included.
 */
export type ClassifiedConnection = {
  kind: 'main' | 'multifd';
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
  readonly #unknown = new Set<Connection>();

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
    this.#unknown.add(connection);
    const late = `it did not say what it is within ${timeout / 1000} s`;
    const timer = Number.isFinite(timeout)
      ? setTimeout(() => this.#drop(connection, late, 'ERR_TIMEOUT'), timeout)
      : undefined;
    void this.#identify(connection).finally(() => clearTimeout(timer));
  }

  /** Drops what has not said yet what it is; connections that arrived stay. */
  close(): void {
    for (const connection of this.#unknown) connection.destroy();
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
      this.#unknown.delete(connection);
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
    if (magic !== magics.multifd)
      return { wrong: 'its first bytes are not those of a migration', code: 'ERR_MAGIC' };
    return read.length >= initialBytes ? 'multifd' : undefined;
  }

  #drop(connection: Connection, why: string, code: ErrorCode): void {
    if (!this.#unknown.delete(connection)) return;
    connection.destroy();
    this.#options.onRejected?.(`dropped a connection from ${connection.peer}: ${why}`, code);
  }
}
