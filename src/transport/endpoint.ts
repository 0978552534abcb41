import { loadClientTls, loadServerTls } from '#sockets';
import { warnOf } from '../util/callbacks.ts';
import { openWithin } from '../util/deadline.ts';
import { cancelledBy, MultifdError } from '../util/errors.ts';
import { givenMethods } from '../util/checks.ts';
import { checkAdmission } from './adapters/admission.ts';
import { type ConnectionLike, toConnection } from './connection-like.ts';
import { type ConnectionQueue, MAX_WAIT_MS, WaitingConnections } from './connection-queue.ts';
import type { Connection } from './connection.ts';
import type { ClientTls, IncomingTls, OutgoingTls } from './sockets/tls-credentials.ts';
import { cancelledConnecting, dial, listen } from './listener.ts';
import {
  type ConnectionUri,
  formatUri,
  hostOf,
  type MigrationUri,
  needsToken,
  parseUri,
  type UriLike,
} from './schemes.ts';

/** How the connections of a migration come about, at either end. */

/** What a caller gives. One of the first three. */
export interface EndpointOptions {
  uri?: UriLike | undefined;
  inbox?: ConnectionQueue | undefined;
  connect?: OpenByCaller | undefined;
  token?: string | undefined;
  /** Of which origins a page may come to where we listen. */
  origins?: readonly string[] | undefined;
}

type OpenByCaller = (channel: number | 'main') => ConnectionLike | Promise<ConnectionLike>;

/** Where a migration goes to or comes from, parsed once for all that is done with it. */
export type Endpoint = ConnectionEndpoint | FileEndpoint;

export type FileEndpoint = Extract<MigrationUri, { kind: 'file' }>;

/** One with connections. */
export type ConnectionEndpoint =
  | { readonly kind: 'uri'; readonly uri: ConnectionUri }
  | { readonly kind: 'inbox'; readonly inbox: ConnectionQueue }
  | { readonly kind: 'connect'; readonly connect: OpenByCaller };

/** What a target has: its caller opens no connections. */
export type SourceEndpoint = Exclude<ConnectionEndpoint, { kind: 'connect' }>;

/** @throws MultifdError ERR_OPTION, also unless it is one of the three; ERR_URI. */
export function parseEndpoint({ uri, inbox, connect, token, origins }: EndpointOptions): Endpoint {
  if ([uri, inbox, connect].filter((given) => given !== undefined).length !== 1)
    throw new MultifdError('ERR_OPTION', 'give one of uri, inbox and connect');
  const parsed = uri === undefined ? undefined : parseUri(uri);
  checkInbox(inbox);
  checkAdmission({ token, origins });
  if (inbox !== undefined) return { kind: 'inbox', inbox };
  if (connect !== undefined) return { kind: 'connect', connect };
  return parsed!.kind === 'file' ? parsed! : { kind: 'uri', uri: parsed! };
}

/** A connection queue, or undefined. @throws MultifdError ERR_OPTION. */
function checkInbox(inbox: ConnectionQueue | undefined): void {
  if (inbox !== undefined) givenMethods('inbox', inbox, ['attach', 'add'], 'a ConnectionQueue');
}

/** Opens connections, one for each channel. */
export type OpenConnection = (channel: number | 'main', signal: AbortSignal) => Promise<Connection>;

/** A source's connections. Those of the channels can be dialled by the channels' own threads. */
export interface OutgoingEndpoint {
  /** For a channel that dials in its own thread; undefined if this end doesn't dial. */
  readonly route: Route | undefined;
  readonly open: OpenConnection;
  /** Accepts no more, and closes those that have not been taken. */
  close(): void;
}

/** Structured-cloneable. */
export interface Route {
  uri: ConnectionUri;
  tls: ClientTls | undefined;
  token: string | undefined;
  /** Milliseconds. */
  timeout: number;
}

/** @throws MultifdError ERR_CONNECT, ERR_AUTH, ERR_TLS, ERR_TIMEOUT or ERR_CANCELLED. */
export function dialRoute(
  { uri, ...options }: Route,
  channel: number | 'main',
  signal: AbortSignal,
): Promise<Connection> {
  return dial(uri, { ...options, channel, signal });
}

/** A channel that waits for a connection. */
interface Wanted {
  take(connection: Connection): void;
  fail(error: MultifdError): void;
}

/**
 * Connections in the order in which they come: any is as good as another, for the source says on
 * each what it is. Until all are there, the first to come are taken; a connection that comes after
 * that belongs to no migration. TLS or a token keeps other clients out.
 */
class AcceptQueue implements OutgoingEndpoint {
  readonly route = undefined;
  readonly #channels: number;
  readonly #onRejected: (why: string) => void;
  readonly #waiting: WaitingConnections;
  #failure: MultifdError | undefined;
  #told = false;
  /** Accepts no more. */
  shut = (): void => {};
  readonly #wanted: Wanted[] = [];
  /** How many have been handed to a channel. */
  #taken = 0;

  constructor(channels: number, onRejected: (why: string) => void) {
    this.#channels = channels;
    this.#onRejected = onRejected;
    this.#waiting = new WaitingConnections({
      most: 1 + channels,
      maxWait: MAX_WAIT_MS,
      onDropped: ({ peer }, why) => onRejected(`dropped a connection from ${peer}: ${why}`),
    });
  }

  readonly take = (connection: Connection): void => {
    const wanted = this.#wanted.shift();
    if (wanted !== undefined) {
      this.#taken++;
      return wanted.take(connection);
    }
    if (this.#taken + this.#waiting.size <= this.#channels) return this.#waiting.add(connection);
    connection.destroy();
    this.#onRejected(
      `dropped a connection from ${connection.peer}: the main channel and all ${this.#channels} ` +
        'others are there',
    );
  };

  readonly open: OpenConnection = (channel, signal) => {
    if (this.#failure !== undefined) return Promise.reject(this.#tellFailure());
    const connection = this.#waiting.take();
    if (connection !== undefined) {
      this.#taken++;
      return Promise.resolve(connection);
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        const at = this.#wanted.indexOf(wanted);
        if (at >= 0) this.#wanted.splice(at, 1);
        reject(
          cancelledBy(signal, 'cancelled while waiting for the target to connect', { channel }),
        );
      };
      const settle = (): void => signal.removeEventListener('abort', abort);
      const wanted: Wanted = {
        take: (connection) => (settle(), resolve(connection)),
        fail: (error) => (settle(), reject(error)),
      };
      this.#wanted.push(wanted);
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
    });
  };

  /** No more connections will come: fails each channel that waits for one. */
  fail(error: MultifdError): void {
    this.#failure = error;
    for (const { fail } of this.#wanted.splice(0)) fail(this.#tellFailure());
  }

  #tellFailure(): MultifdError {
    this.#told = true;
    return this.#failure!;
  }

  close(): void {
    this.shut();
    if (this.#failure !== undefined && !this.#told) warnOf('onListening', this.#failure);
    this.#waiting.close();
  }
}

export interface OutgoingEndpointOptions {
  token: string | undefined;
  /** We listen at the URI, and the target connects. */
  listen: boolean;
  tls: OutgoingTls | undefined;
  /** How many there are beside the main one. */
  channels: number;
  /** Milliseconds. */
  timeout: number;
  maxConnections: number;
  onRejected: (why: string) => void;
  /** Told where we listen. If it fails, no target can have connected, and none will. */
  onListening: (uri: string) => void;
}

/** @throws MultifdError ERR_OPTION, ERR_IO, ERR_TLS, ERR_LISTEN. */
export async function openOutgoingEndpoint(
  endpoint: ConnectionEndpoint,
  options: OutgoingEndpointOptions,
): Promise<OutgoingEndpoint> {
  const { channels, timeout, onRejected } = options;
  if (endpoint.kind === 'connect') {
    const open: OpenConnection = (channel, signal) =>
      openByCaller(endpoint.connect, channel, timeout, signal);
    return { route: undefined, open, close() {} };
  }
  if (endpoint.kind === 'inbox') {
    const queue = new AcceptQueue(channels, onRejected);
    queue.shut = endpoint.inbox.attach(queue.take);
    return queue;
  }
  return options.listen
    ? listenForTarget(endpoint.uri, options)
    : dialTarget(endpoint.uri, options);
}

async function dialTarget(
  uri: ConnectionUri,
  { tls, token, timeout }: OutgoingEndpointOptions,
): Promise<OutgoingEndpoint> {
  const clientTls = tls && (await loadClientTls(tls, hostOf(uri)));
  const route: Route = { uri, tls: clientTls, token, timeout };
  const open: OpenConnection = (channel, signal) => dialRoute(route, channel, signal);
  return { route, open, close() {} };
}

async function listenForTarget(
  uri: ConnectionUri,
  {
    tls,
    token,
    channels,
    timeout,
    maxConnections,
    onRejected,
    onListening,
  }: OutgoingEndpointOptions,
): Promise<OutgoingEndpoint> {
  demandToken(uri, token);
  const queue = new AcceptQueue(channels, onRejected);
  const listener = await listen(uri, {
    tls: tls && (await loadServerTls(tls)),
    token,
    timeout,
    maxConnections,
    onRejected,
    onConnection: queue.take,
  });
  const listening = formatUri(listener.uri);
  queue.shut = () => listener.close();
  // Not waited for: it may well wait for the migration itself.
  const tell = async (): Promise<void> => onListening(listening);
  tell().catch((thrown: unknown) => queue.fail(MultifdError.from(thrown)));
  return queue;
}

/**
 * A client that connects to a source gets its memory, and a web page can connect to any address.
 * @throws MultifdError ERR_OPTION.
 */
function demandToken(uri: ConnectionUri, token: string | undefined): void {
  if (token !== undefined || !needsToken(uri)) return;
  const why = `whoever connects to ${formatUri(uri)} gets the memory`;
  throw new MultifdError('ERR_OPTION', `${why}: give both ends a token (--token-file)`);
}

/** A connection that the caller opens, within the time-out. */
function openByCaller(
  connect: OpenByCaller,
  channel: number | 'main',
  timeout: number,
  signal: AbortSignal,
): Promise<Connection> {
  const why = `connect() gave no connection within ${timeout / 1000} s`;
  return openWithin(
    {
      timeout,
      signal,
      late: () => new MultifdError('ERR_TIMEOUT', why, { channel }),
      cancelled: (by) => cancelledConnecting(channel, by),
    },
    async () => toConnection(await connect(channel)),
    (connection) => connection.destroy(),
    (error) => MultifdError.from(error, 'ERR_CONNECT', { channel }),
  );
}

export interface IncomingEndpointOptions {
  token: string | undefined;
  origins: readonly string[] | undefined;
  /** A source listens at the URI, and we connect, so many times. */
  dials: number | undefined;
  tls: IncomingTls | undefined;
  /** Milliseconds. */
  timeout: number;
  maxConnections: number;
  onRejected: (why: string) => void;
  /** Ends connecting. */
  signal: AbortSignal;
}

/** A target's connections. */
export interface IncomingEndpoint {
  /** Where it listens, with the port it got; for others, how they come. */
  readonly uri: string;
  /** Accepts no more. */
  close(): void;
}

/**
 * @param take gets each connection.
 * @throws MultifdError ERR_OPTION, ERR_IO, ERR_TLS, ERR_LISTEN, ERR_CONNECT.
 */
export async function openIncomingEndpoint(
  endpoint: SourceEndpoint,
  options: IncomingEndpointOptions,
  take: (connection: Connection) => void,
): Promise<IncomingEndpoint> {
  if (endpoint.kind === 'inbox') return { uri: 'inbox:', close: endpoint.inbox.attach(take) };
  const { uri } = endpoint;
  const { dials } = options;
  return dials === undefined
    ? listenForSource(uri, options, take)
    : dialSource(uri, dials, options, take);
}

async function listenForSource(
  uri: ConnectionUri,
  { token, origins, tls, timeout, maxConnections, onRejected }: IncomingEndpointOptions,
  take: (connection: Connection) => void,
): Promise<IncomingEndpoint> {
  const listener = await listen(uri, {
    tls: tls && (await loadServerTls(tls)),
    token,
    origins,
    timeout,
    maxConnections,
    onConnection: take,
    onRejected,
  });
  return { uri: formatUri(listener.uri), close: () => listener.close() };
}

async function dialSource(
  uri: ConnectionUri,
  dials: number,
  { token, tls, timeout, signal }: IncomingEndpointOptions,
  take: (connection: Connection) => void,
): Promise<IncomingEndpoint> {
  const clientTls = tls && (await loadClientTls(tls, hostOf(uri)));
  const options = {
    tls: clientTls,
    token,
    timeout,
    channel: 'main',
    signal,
    toSource: true,
  } as const;
  const connections: Connection[] = [];
  try {
    // One after the other: our own sources take the first for the main channel.
    for (let n = 0; n < dials; n++) connections.push(await dial(uri, options));
  } catch (error) {
    for (const connection of connections) connection.destroy();
    throw error;
  }
  for (const connection of connections) take(connection);
  return { uri: formatUri(uri), close() {} };
}
