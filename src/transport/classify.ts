import { concat } from '../util/bytes.ts';
import type { ErrorCode } from '../util/errors.ts';
import type { Link } from './connection.ts';

/**
 * What a connection turned out to be by its first bytes. `read` holds the bytes read so far, those
 * included.
 */
export type Arrival = { kind: 'main' | 'multifd'; link: Link; read: Uint8Array };

export interface ReceptionOptions {
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
  onArrival(arrival: Arrival): void;
  /**
   * A connection that was none of ours: told, and forgotten. `code` is what kind of fault that is
   * where each connection counts.
   */
  onStranger?: ((why: string, code: ErrorCode) => void) | undefined;
}

const MAGIC_BYTES = 4;
/** First bytes of a TLS connection: a handshake record, of version 3 whatever the version. */
const TLS_RECORD = 0x1603;

/**
 * Takes the connections of one migration, which come in any order, and tells them apart. What is
 * none of them is dropped.
 */
export class Reception {
  readonly #options: ReceptionOptions;
  readonly #unknown = new Set<Link>();

  constructor(options: ReceptionOptions) {
    this.#options = options;
  }

  take(link: Link): void {
    const { timeout, maxUnknown } = this.#options;
    if (this.#unknown.size >= maxUnknown) {
      link.destroy();
      return this.#options.onStranger?.(
        `dropped a connection from ${link.peer}: ${maxUnknown} others have not said yet what ` +
          'they are',
        'ERR_CONNECT',
      );
    }
    this.#unknown.add(link);
    const late = `it did not say what it is within ${timeout / 1000} s`;
    const timer = Number.isFinite(timeout)
      ? setTimeout(() => this.#drop(link, late, 'ERR_TIMEOUT'), timeout)
      : undefined;
    void this.#identify(link).finally(() => clearTimeout(timer));
  }

  /** Drops what has not said yet what it is; connections that arrived stay. */
  close(): void {
    for (const link of this.#unknown) link.destroy();
    this.#unknown.clear();
  }

  async #identify(link: Link): Promise<void> {
    let read: Uint8Array = new Uint8Array(0);
    for (;;) {
      const chunk = await link.read();
      if (!this.#unknown.has(link)) return; // dropped meanwhile
      if (chunk === undefined)
        return this.#drop(
          link,
          `it ${link.broken === undefined && !link.closed ? 'ended' : 'was reset'} before it ` +
            'said what it is',
          'ERR_PEER_CLOSED',
        );
      read = read.length === 0 ? chunk : concat([read, chunk]);
      const found = this.#look(read);
      if (found === undefined) continue;
      if (typeof found === 'object') return this.#drop(link, found.wrong, found.code);
      this.#unknown.delete(link);
      return this.#options.onArrival({ kind: found, link, read });
    }
  }

  /** @returns what it is, or what is wrong with it; undefined as long as it has not said enough. */
  #look(read: Uint8Array): Arrival['kind'] | { wrong: string; code: ErrorCode } | undefined {
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

  #drop(link: Link, why: string, code: ErrorCode): void {
    if (!this.#unknown.delete(link)) return;
    link.destroy();
    this.#options.onStranger?.(`dropped a connection from ${link.peer}: ${why}`, code);
  }
}
