import type { Connection } from './connection.ts';
import type { ClientTls, ServerTls } from './sockets/tls-credentials.ts';
import { ADAPTERS } from '#sockets';
import { cancelledBy, type MultifdError } from '../util/errors.ts';
import type { ConnectionUri } from './schemes.ts';

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
  /** Accepts no more; accepted connections stay. */
  close(): void;
}

/** How the connections of one kind of URI come about, on one runtime. */
export interface Adapter<U> {
  /**
   * One connection to what listens there.
   * @throws MultifdError ERR_CONNECT, ERR_AUTH, ERR_TLS, ERR_TIMEOUT, ERR_CANCELLED;
   *   ERR_UNSUPPORTED where the runtime has none.
   */
  dial(uri: U, options: DialOptions): Promise<Connection>;
  /** @throws MultifdError ERR_LISTEN; ERR_UNSUPPORTED where the runtime has no ports. */
  listen(uri: U, options: ListenOptions): Promise<Listener>;
}

/** One for each kind: a kind without one does not compile, on no runtime. */
export type Adapters = {
  readonly [K in ConnectionUri['kind']]: Adapter<Extract<ConnectionUri, { kind: K }>>;
};

const adapterOf = (uri: ConnectionUri): Adapter<ConnectionUri> =>
  ADAPTERS[uri.kind] as Adapter<ConnectionUri>;

/** One connection, by {@link Adapter.dial}. */
export async function dial(uri: ConnectionUri, options: DialOptions): Promise<Connection> {
  return adapterOf(uri).dial(uri, options);
}

/** Listens, by {@link Adapter.listen}. */
export async function listen(uri: ConnectionUri, options: ListenOptions): Promise<Listener> {
  return adapterOf(uri).listen(uri, options);
}

/** @param signal the one that has fired. */
export function cancelledConnecting(channel: number | 'main', signal: AbortSignal): MultifdError {
  return cancelledBy(signal, 'cancelled while connecting', { channel });
}
