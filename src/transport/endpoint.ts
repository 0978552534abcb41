import { dial, loadClientTls, loadServerTls, openDoor } from '#sockets';
import { warnOf } from '../util/callbacks.ts';
import { MultifdError } from '../util/errors.ts';
import { checkInbox } from '../migration/options.ts';
import { checkAdmission } from './adapters/admission.ts';
import { type Connectable, linkOf } from './connection-like.ts';
import type { Inbox } from './connection-queue.ts';
import { MAX_WAIT_MS, WaitingLinks } from './waiting-links.ts';
import type { Link } from './connection.ts';
import type { ClientTls, IncomingTls, OutgoingTls } from './sockets/tls-credentials.ts';
import { formatUri, hostOf, type LinkUri, parseUri, type UriLike } from './uri.ts';

/** How the connections of a migration come about, at either end. */

/** What a caller says of it. One of the first three. */
export interface WayOptions {
  uri?: UriLike | undefined;
  inbox?: Inbox | undefined;
  connect?: ((channel: number | 'main') => Connectable | Promise<Connectable>) | undefined;
  token?: string | undefined;
  /** Of which origins a page may come to where we listen. */
  origins?: readonly string[] | undefined;
}

/** One of three. @throws MultifdError ERR_OPTION, ERR_URI. */
export function checkWay({ uri, inbox, connect, token, origins }: WayOptions): void {
  if ([uri, inbox, connect].filter((way) => way !== undefined).length !== 1)
    throw new MultifdError('ERR_OPTION', 'give one of uri, inbox and connect');
  if (uri !== undefined) parseUri(uri);
  checkInbox(inbox);
  checkAdmission({ token, origins });
}

/** Opens connections, one for each channel. */
export type OpenLink = (channel: number | 'main', signal: AbortSignal) => Promise<Link>;

/** A source's connections. Those of the channels can be dialled by the channels' own threads. */
export interface OutgoingLinks {
  /** Where the target has to connect to; undefined if it is not the one who does. */
  readonly uri: string | undefined;
  /** For whoever dials in another thread; undefined if nobody dials. */
  readonly route: Route | undefined;
  readonly open: OpenLink;
  /** Lets no more in, and closes those that nobody has taken. */
  close(): void;
}

/** Structured-cloneable. */
export interface Route {
  uri: LinkUri;
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
): Promise<Link> {
  return dial(uri, { ...options, channel, signal });
}

/** A channel that waits for a connection. */
interface Wanted {
  take(link: Link): void;
  fail(error: MultifdError): void;
}

/**
 * Connections in the order in which they come: any is as good as another, for the source says on
 * each what it is. Until all are there whoever comes first has a place; who comes after that is a
 * stranger. TLS or a token keeps others out.
 */
class Arriving implements OutgoingLinks {
  readonly route = undefined;
  readonly #channels: number;
  readonly #onStranger: (why: string) => void;
  readonly #waiting: WaitingLinks;
  uri: string | undefined;
  #failure: MultifdError | undefined;
  #told = false;
  /** Lets no more in. */
  shut = (): void => {};
  readonly #wanted: Wanted[] = [];
  /** Those that are somebody's. */
  #taken = 0;

  constructor(channels: number, onStranger: (why: string) => void) {
    this.#channels = channels;
    this.#onStranger = onStranger;
    this.#waiting = new WaitingLinks({
      most: 1 + channels,
      maxWait: MAX_WAIT_MS,
      onDropped: ({ peer }, why) => onStranger(`dropped a connection from ${peer}: ${why}`),
    });
  }

  readonly take = (link: Link): void => {
    const wanted = this.#wanted.shift();
    if (wanted !== undefined) {
      this.#taken++;
      return wanted.take(link);
    }
    if (this.#taken + this.#waiting.size <= this.#channels) return this.#waiting.add(link);
    link.destroy();
    this.#onStranger(
      `dropped a connection from ${link.peer}: the main channel and all ${this.#channels} ` +
        'others are there',
    );
  };

  readonly open: OpenLink = (channel, signal) => {
    if (this.#failure !== undefined) return Promise.reject(this.#tellFailure());
    const link = this.#waiting.take();
    if (link !== undefined) {
      this.#taken++;
      return Promise.resolve(link);
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
        take: (link) => (settle(), resolve(link)),
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

export interface OutgoingWay extends WayOptions {
  /** We listen at `uri`, and the target connects. */
  listen: boolean;
  tls: OutgoingTls | undefined;
  /** How many there are beside the main one. */
  channels: number;
  /** Milliseconds. */
  timeout: number;
  maxConnections: number;
  onStranger: (why: string) => void;
  /** Told where we listen. If it fails, nobody can have come, and nobody will. */
  onListening: (uri: string) => void;
}

/** @throws MultifdError ERR_OPTION, ERR_URI, ERR_IO, ERR_TLS, ERR_LISTEN. */
export async function outgoingLinks({
  uri,
  inbox,
  connect,
  token,
  listen,
  tls,
  channels,
  timeout,
  maxConnections,
  onStranger,
  onListening,
}: OutgoingWay): Promise<OutgoingLinks> {
  if (connect !== undefined)
    return {
      uri: undefined,
      route: undefined,
      open: (channel, signal) => openBy(connect, channel, timeout, signal),
      close() {},
    };
  if (inbox === undefined && !listen) {
    const to = linkUri(uri!);
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
  const arriving = new Arriving(channels, onStranger);
  if (inbox !== undefined) arriving.shut = inbox.attach(arriving.take);
  else {
    const at = linkUri(uri!);
    demandToken(at, token);
    const serverTls = tls && (await loadServerTls(tls));
    const who = { tls: serverTls, token, maxConnections, onStranger };
    const door = await openDoor(at, { ...who, timeout, onLink: arriving.take });
    const listening = formatUri(door.uri);
    arriving.uri = listening;
    arriving.shut = () => door.close();
    // Not waited for: it may well wait for the migration itself.
    const tell = async (): Promise<void> => onListening(listening);
    tell().catch((thrown: unknown) => arriving.fail(MultifdError.from(thrown)));
  }
  return arriving;
}

/**
 * Whoever connects to a source gets its memory, and a page's requests go wherever it says.
 * @throws MultifdError ERR_OPTION.
 */
function demandToken(uri: LinkUri, token: string | undefined): void {
  if (token !== undefined || uri.kind === 'tcp' || uri.kind === 'unix') return;
  const why = `whoever connects to ${formatUri(uri)} gets the memory`;
  throw new MultifdError('ERR_OPTION', `${why}: give both ends a token (--token-file)`);
}

/** A connection of the caller's, who may take his time, but not for ever. */
function openBy(
  connect: NonNullable<WayOptions['connect']>,
  channel: number | 'main',
  timeout: number,
  signal: AbortSignal,
): Promise<Link> {
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
    const opening = async (): Promise<Link> => linkOf(await connect(channel));
    opening().then(
      (link) => (over ? link.destroy() : end(() => resolve(link))),
      (error: unknown) => {
        if (!over) end(() => reject(MultifdError.from(error, 'ERR_CONNECT', { channel })));
      },
    );
  });
}

export interface IncomingWay extends WayOptions {
  /** A source listens at `uri`, and we connect, so many times. */
  dials: number | undefined;
  tls: IncomingTls | undefined;
  /** Milliseconds. */
  timeout: number;
  maxConnections: number;
  onStranger: (why: string) => void;
  /** Ends connecting. */
  signal: AbortSignal;
}

/** A target's connections. */
export interface IncomingLinks {
  /** Where it listens, with the port it got; for others, how they come. */
  readonly uri: string;
  /** Lets no more in. */
  close(): void;
}

/**
 * @param take gets each connection.
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_IO, ERR_TLS, ERR_LISTEN, ERR_CONNECT.
 */
export async function incomingLinks(
  way: IncomingWay,
  take: (link: Link) => void,
): Promise<IncomingLinks> {
  const { uri, inbox, token, origins, dials, tls } = way;
  const { timeout, maxConnections, onStranger, signal } = way;
  if (inbox !== undefined) return { uri: 'inbox:', close: inbox.attach(take) };
  const at = linkUri(uri!);
  if (dials === undefined) {
    const serverTls = tls && (await loadServerTls(tls));
    const who = { tls: serverTls, token, origins };
    const door = await openDoor(at, { ...who, timeout, maxConnections, onLink: take, onStranger });
    return { uri: formatUri(door.uri), close: () => door.close() };
  }
  const clientTls = tls && (await loadClientTls(tls, hostOf(at)));
  const links: Link[] = [];
  try {
    // One after the other: our own sources take the first for the main channel.
    for (let n = 0; n < dials; n++)
      links.push(
        await dial(at, { tls: clientTls, token, timeout, channel: 'main', signal, toSource: true }),
      );
  } catch (error) {
    for (const link of links) link.destroy();
    throw error;
  }
  for (const link of links) take(link);
  return { uri: formatUri(at), close() {} };
}

function linkUri(uri: UriLike): LinkUri {
  const parsed = parseUri(uri);
  if (parsed.kind === 'file') throw new MultifdError('ERR_URI', `${String(uri)} is no connection`);
  return parsed;
}
