import type { Connection } from './connection.ts';
import type { ClientTls, ServerTls } from './sockets/tls-credentials.ts';
import type { ConnectionUri } from './uri.ts';

/** What it takes to open one connection. */
export interface DialOptions {
  /** Milliseconds until the connection has to stand, TLS included. */
  timeout: number;
  signal?: AbortSignal | undefined;
  channel: number | 'main';
  /**
   * The source is at the other end. Its half ends first, and ours goes on: not every request does
   * that.
   */
  toSource?: boolean;
  /** Without it, plain; or, for `wss:` and `https:`, with what the runtime trusts. */
  tls?: ClientTls | undefined;
  /** For ws: and http:, sent as `Authorization: Bearer`. */
  token?: string | undefined;
}

/** What it takes to listen. */
export interface ListenOptions {
  /** Milliseconds that a connection has for its handshakes. */
  timeout: number;
  /** Every connection has to be TLS; without it, plain. */
  tls?: ServerTls | undefined;
  /** For ws: and http:, what a client has to show. */
  token?: string | undefined;
  /** For the same, of which origins a page may come. */
  origins?: readonly string[] | undefined;
  /** Handshakes under way at a time. */
  maxConnections: number;
  onConnection(connection: Connection): void;
  /** A connection that was none of ours: told, and forgotten. */
  onRejected?: ((why: string) => void) | undefined;
}

/** Something that listens. */
export interface Listener {
  /** Where, with the port it got. */
  readonly uri: ConnectionUri;
  /** Lets nobody in any more; who is in stays. */
  close(): void;
}
