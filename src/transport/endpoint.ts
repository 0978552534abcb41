import { dial, listen as listenAt, loadClientTls, loadServerTls } from '#sockets';
import { warnOf } from '../util/callbacks.ts';
import { MultifdError } from '../util/errors.ts';
import { givenMethods } from '../util/checks.ts';
import { checkAdmission } from './adapters/admission.ts';
import { type ConnectionLike, toConnection } from './connection-like.ts';
import { type ConnectionQueue, MAX_WAIT_MS, WaitingLinks } from './connection-queue.ts';

import type { Connection } from './connection.ts';
import type { ClientTls, IncomingTls, OutgoingTls } from './sockets/tls-credentials.ts';
import { formatUri, hostOf, type ConnectionUri, parseUri, type UriLike } from './uri.ts';

/** How the connections of a migration come about, at either end. */

/** What a caller says of it. One of the first three. */
export interface EndpointOptions {
  uri?: UriLike | undefined;
  inbox?: ConnectionQueue | undefined;
  connect?: ((channel: number | 'main') => ConnectionLike | Promise<ConnectionLike>) | undefined;
  token?: string | undefined;
  /** Of which origins a page may come to where we listen. */
  origins?: readonly string[] | undefined;
}

/** One of three. @throws MultifdError ERR_OPTION, ERR_URI. */
export function checkEndpoint({ uri, inbox, connect, token, origins }: EndpointOptions): void {
  if ([uri, inbox, connect].filter((way) => way !== undefined).length !== 1)
    throw new MultifdError('ERR_OPTION', 'give one of uri, inbox and connect');
  if (uri !== undefined) parseUri(uri);
  checkInbox(inbox);
  checkAdmission({ token, origins });
}

/** An inbox, or nothing. @throws MultifdError ERR_OPTION. */
function checkInbox(inbox: ConnectionQueue | undefined): void {
  if (inbox !== undefined) givenMethods('inbox', inbox, ['attach', 'add'], 'an Inbox');
}

/** Opens connections, one for each channel. */
export type OpenConnection = (channel: number | 'main', signal: AbortSignal) => Promise<Connection>;

/** A source's connections. Those of the channels can be dialled by the channels' own threads. */
export interface OutgoingEndpoint {
  /** Where the target has to connect to; undefined if it is not the one who does. */
  readonly uri: string | undefined;
  /** For whoever dials in another thread; undefined if nobody dials. */
  readonly route: Route | undefined;
  readonly open: OpenConnection;
  /** Lets no more in, and closes those that nobody has taken. */
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
 * each what it is. Until all are there whoever comes first has a place; who comes after that is a
 * stranger. TLS or a token keeps others out.
 */
class AcceptQueue implements OutgoingEndpoint {
  readonly route = undefined;
  readonly #channels: number;
  readonly #onRejected: (why: string) => void;
  readonly #waiting: WaitingLinks;
  uri: string | undefined;
  #failure: MultifdError | undefined;
  #told = false;
  /** Lets no more in. */
  shut = (): void => {};
  readonly #wanted: Wanted[] = [];
  /** Those that are somebody's. */
  #taken = 0;

  constructor(channels: number, onRejected: (why: string) => void) {
    this.#channels = channels;
    this.#onRejected = onRejected;
    this.#waiting = new WaitingLinks({
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
          new MultifdError('ERR_CANCELLED', 'cancelled while waiting for the target to connect', {
            channel,
          }),
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

  /** Nobody who is waited for will come. */
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

export interface OutgoingEndpointOptions extends EndpointOptions {
  /** We listen at `uri`, and the target connects. */
  listen: boolean;
  tls: OutgoingTls | undefined;
  /** How many there are beside the main one. */
  channels: number;
  /** Milliseconds. */
  timeout: number;
  maxConnections: number;
  onRejected: (why: string) => void;
  /** Told where we listen. If it fails, nobody can have come, and nobody will. */
  onListening: (uri: string) => void;
}

/** @throws MultifdError ERR_OPTION, ERR_URI, ERR_IO, ERR_TLS, ERR_LISTEN. */
export async function openOutgoingEndpoint({
  uri,
  inbox,
  connect,
  token,
  listen,
  tls,
  channels,
  timeout,
  maxConnections,
  onRejected,
  onListening,
}: OutgoingEndpointOptions): Promise<OutgoingEndpoint> {
  if (connect !== undefined)
    return {
      uri: undefined,
      route: undefined,
      open: (channel, signal) => openBy(connect, channel, timeout, signal),
      close() {},
    };
  if (inbox === undefined && !listen) {
    const to = connectionUri(uri!);
    const route: Route = {
      uri: to,
      tls: tls && (await loadClientTls(tls, hostOf(to))),
      token,
      timeout,
    };
    return {
      uri: undefined,
      route,
      open: (channel, signal) => dialRoute(route, channel, signal),
      close() {},
    };
  }
  const queue = new AcceptQueue(channels, onRejected);
  if (inbox !== undefined) queue.shut = inbox.attach(queue.take);
  else {
    const at = connectionUri(uri!);
    demandToken(at, token);
    const serverTls = tls && (await loadServerTls(tls));
    const who = { tls: serverTls, token, maxConnections, onRejected };
    const listener = await listenAt(at, { ...who, timeout, onConnection: queue.take });
    const listening = formatUri(listener.uri);
    queue.uri = listening;
    queue.shut = () => listener.close();
    // Not waited for: it may well wait for the migration itself.
    const tell = async (): Promise<void> => onListening(listening);
    tell().catch((thrown: unknown) => queue.fail(MultifdError.from(thrown)));
  }
  return queue;
}

/**
 * Whoever connects to a source gets its memory, and a page's requests go wherever it says.
 * @throws MultifdError ERR_OPTION.
 */
function demandToken(uri: ConnectionUri, token: string | undefined): void {
  if (token !== undefined || uri.kind === 'tcp' || uri.kind === 'unix') return;
  const why = `whoever connects to ${formatUri(uri)} gets the memory`;
  throw new MultifdError('ERR_OPTION', `${why}: give both ends a token (--token-file)`);
}

/** A connection of the caller's, who may take his time, but not for ever. */
function openBy(
  connect: NonNullable<EndpointOptions['connect']>,
  channel: number | 'main',
  timeout: number,
  signal: AbortSignal,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    let over = false;
    const end = (act: () => void): void => {
      over = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      act();
    };
    const abort = (): void =>
      end(() =>
        reject(new MultifdError('ERR_CANCELLED', 'cancelled while connecting', { channel })),
      );
    const timer = setTimeout(
      () =>
        end(() =>
          reject(
            new MultifdError(
              'ERR_TIMEOUT',
              `connect() gave no connection within ${timeout / 1000} s`,
              { channel },
            ),
          ),
        ),
      timeout,
    );
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) return abort();
    const opening = async (): Promise<Connection> => toConnection(await connect(channel));
    opening().then(
      (connection) => (over ? connection.destroy() : end(() => resolve(connection))),
      (error: unknown) => {
        if (!over) end(() => reject(MultifdError.from(error, 'ERR_CONNECT', { channel })));
      },
    );
  });
}

export interface IncomingEndpointOptions extends EndpointOptions {
  /** A source listens at `uri`, and we connect, so many times. */
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
  /** Lets no more in. */
  close(): void;
}

/**
 * @param take gets each connection.
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_IO, ERR_TLS, ERR_LISTEN, ERR_CONNECT.
 */
export async function openIncomingEndpoint(
  way: IncomingEndpointOptions,
  take: (connection: Connection) => void,
): Promise<IncomingEndpoint> {
  const { uri, inbox, token, origins, dials, tls } = way;
  const { timeout, maxConnections, onRejected, signal } = way;
  if (inbox !== undefined) return { uri: 'inbox:', close: inbox.attach(take) };
  const at = connectionUri(uri!);
  if (dials === undefined) {
    const serverTls = tls && (await loadServerTls(tls));
    const who = { tls: serverTls, token, origins };
    const listener = await listenAt(at, {
      ...who,
      timeout,
      maxConnections,
      onConnection: take,
      onRejected,
    });
    return { uri: formatUri(listener.uri), close: () => listener.close() };
  }
  const clientTls = tls && (await loadClientTls(tls, hostOf(at)));
  const connections: Connection[] = [];
  try {
    // One after the other: our own sources take the first for the main channel.
    for (let n = 0; n < dials; n++)
      connections.push(
        await dial(at, { tls: clientTls, token, timeout, channel: 'main', signal, toSource: true }),
      );
  } catch (error) {
    for (const connection of connections) connection.destroy();
    throw error;
  }
  for (const connection of connections) take(connection);
  return { uri: formatUri(at), close() {} };
}

function connectionUri(uri: UriLike): ConnectionUri {
  const parsed = parseUri(uri);
  if (parsed.kind === 'file') throw new MultifdError('ERR_URI', `${String(uri)} is no connection`);
  return parsed;
}
