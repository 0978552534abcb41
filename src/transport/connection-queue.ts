import { acceptUpgrade } from '#sockets';
import { observer } from '../util/callbacks.ts';
import { givenOptions, type OptionNames } from '../util/options.ts';
import { answering, integer, refuse } from '../util/checks.ts';
import { adviceOn, checkAdmission, refusalOf, PROTOCOL } from './adapters/admission.ts';
import { METHOD, RESPONSE_HEADERS } from './adapters/http.ts';
import { type ConnectionLike, toConnection } from './connection-like.ts';
import type { Connection } from './connection.ts';
import { StreamConnection } from './stream-connection.ts';

/** Who may come into a {@link ConnectionQueue}, how many, and for how long. */
export interface ConnectionQueueOptions {
  /** What a request has to show, as `Authorization: Bearer` (none: any client may). */
  token?: string;
  /**
   * Of which origins a page may come, as browsers send them, such as `https://example.com`, or `*`
   * for any: without a token none but those, with one any, unless they are given too.
   */
  origins?: readonly string[];
  /** Connections that wait to be taken, at a time (512). */
  maxConnections?: number;
  /** Milliseconds that a connection waits for a migration, or to open (600000). */
  maxWait?: number;
  /** Told of requests that were refused, and of connections that were dropped. */
  onRejected?: (why: string) => void;
}

const QUEUE_NAMES = {
  token: true,
  origins: true,
  maxConnections: true,
  maxWait: true,
  onRejected: true,
} as const satisfies OptionNames<ConnectionQueueOptions>;

const MAX_CONNECTIONS = 512;
/** The most that timers hold. */
const MOST_MS = 2 ** 31 - 1;

/**
 * Takes connections that the caller's own code accepts, such as the handler of a server, for a
 * migration that is given it as `inbox`, instead of a URI. Connections that come before the
 * migration wait. One queue is for one migration at a time.
 */
export class ConnectionQueue {
  readonly #options: ConnectionQueueOptions;
  readonly #onRejected: (why: string) => void;
  readonly #maxWait: number;
  readonly #waiting: WaitingConnections;
  #take: ((connection: Connection) => void) | undefined;
  #closed = false;

  /** @throws MultifdError ERR_OPTION. */
  constructor(options: ConnectionQueueOptions = {}) {
    const {
      token,
      origins,
      maxConnections = MAX_CONNECTIONS,
      maxWait = MAX_WAIT_MS,
      onRejected,
    } = givenOptions('options of a ConnectionQueue', options, QUEUE_NAMES);
    checkAdmission({ token, origins });
    this.#onRejected = observer('onRejected', onRejected);
    this.#options = options;
    const most = integer('max connections', maxConnections, 1, 65536);
    this.#maxWait = integer('max wait', maxWait, 1, MOST_MS);
    const onDropped = ({ peer }: Connection, why: string): void =>
      this.#onRejected(`dropped a connection from ${peer}: ${why}`);
    this.#waiting = new WaitingConnections({ most, maxWait: this.#maxWait, onDropped });
  }

  /**
   * Takes a connection. One that is too much, or comes too late, is closed.
   * @param peer who it is, for messages.
   * @throws MultifdError ERR_OPTION for what is no connection; ERR_CONNECT for a WebSocket that
   *   does not open.
   */
  add(connection: ConnectionLike, peer?: string): Promise<void> {
    return answering(() => this.#open(connection, peer));
  }

  /**
   * For a handler of requests: a POST is a connection over its two bodies, an upgrade one over a
   * WebSocket, where the runtime hands that to a handler. In workerd all requests of a migration
   * have to come to the same Durable Object, for streams can't be used in another request's
   * context.
   * @returns the answer to give: 400, 401, 403, 405, 501 or 503 to what is no connection.
   */
  fetch(request: Request): Promise<Response> {
    return answering(() => this.#fetch(request));
  }

  #fetch(request: Request): Response {
    if (typeof request?.headers?.get !== 'function')
      refuse('what fetch() takes', request, 'a Request');
    const { headers } = request;
    const peer = headers.get('cf-connecting-ip') ?? 'a client';
    const protocols = headers.get('sec-websocket-protocol');
    const origin = headers.get('origin');
    const answer = (status: number, more: Record<string, string> = {}): Response => {
      const refused = `refused a connection from ${peer} with status ${status}`;
      this.#onRejected(refused + adviceOn(status, origin));
      return new Response(null, { status, headers: more });
    };
    const authorization = headers.get('authorization');
    const refusal = refusalOf({ authorization, protocols, origin }, this.#options);
    if (refusal !== undefined) {
      return answer(refusal, refusal === 401 ? { 'WWW-Authenticate': 'Bearer' } : {});
    }
    if (this.#full) return answer(503, { 'Retry-After': '1' });
    if (headers.get('upgrade')?.toLowerCase() === 'websocket') {
      const upgrade = acceptUpgrade(request, protocols?.includes(PROTOCOL) ? PROTOCOL : undefined);
      if (upgrade === undefined) return answer(501);
      // It opens once the answer has gone.
      this.#open(upgrade.socket as unknown as WebSocket, peer).catch(() => {});
      return upgrade.response;
    }
    if (request.method !== METHOD) return answer(405, { Allow: METHOD });
    if (request.body === null) return answer(400);
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    this.#put(new StreamConnection({ readable: request.body, writable }, peer));
    return new Response(readable, { headers: RESPONSE_HEADERS });
  }

  /** Accepts no more connections, and closes those that have not been taken. */
  close(): void {
    this.#closed = true;
    this.#take = undefined;
    this.#waiting.close();
  }

  /** @internal Hands over those that have come, and all that come. @returns what ends that. */
  attach(take: (connection: Connection) => void): () => void {
    this.#take = take;
    for (const connection of this.#waiting.takeAll()) take(connection);
    return () => {
      if (this.#take === take) this.#take = undefined;
    };
  }

  get #full(): boolean {
    return this.#closed || (this.#take === undefined && this.#waiting.full);
  }

  async #open(connection: ConnectionLike, peer?: string): Promise<void> {
    this.#put(await toConnection(connection, peer, this.#maxWait));
  }

  #put(connection: Connection): void {
    if (this.#full) connection.destroy();
    else if (this.#take !== undefined) this.#take(connection);
    else this.#waiting.add(connection);
  }
}

export interface WaitingOptions {
  /** At a time. */
  most: number;
  /** Milliseconds that each may wait. */
  maxWait: number;
  /** Called with one that was dropped, and why; it is closed by then. */
  onDropped(connection: Connection, why: string): void;
}

/** Milliseconds that a connection may wait, by default. */
export const MAX_WAIT_MS = 600_000;

/**
 * Connections that wait to be taken, in the order in which they came. They are not read, but one
 * that has ended without a byte, has broken, or has waited for too long is dropped. One that has
 * sent something and ended its half is kept, for that may be all it has to send.
 */
export class WaitingConnections {
  readonly #options: WaitingOptions;
  /** With what ends looking after each. */
  readonly #waiting = new Map<Connection, () => void>();

  constructor(options: WaitingOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.size;
  }

  get full(): boolean {
    return this.#waiting.size >= this.#options.most;
  }

  /** Nothing may have been read of it, or be about to be. */
  add(connection: Connection): void {
    const { maxWait } = this.#options;
    const late = `nobody took it within ${maxWait / 1000} s`;
    const timer = setTimeout(() => this.#drop(connection, late), maxWait);
    // A waiting connection alone doesn't keep the process alive, where the runtime lets us say so.
    (timer as { unref?: () => void }).unref?.();
    let forget = (): void => {};
    this.#waiting.set(connection, () => {
      clearTimeout(timer);
      forget();
    });
    forget = connection.onBroken(({ message }) => this.#drop(connection, `it broke: ${message}`));
    void connection.arrives().then((something) => {
      if (!something) this.#drop(connection, 'it ended before it said anything');
    });
  }

  /** The first of them: it is not looked after any more. */
  take(): Connection | undefined {
    for (const connection of this.#waiting.keys()) {
      this.#release(connection);
      if (!connection.closed) return connection;
    }
    return undefined;
  }

  takeAll(): Connection[] {
    const connections = [...this.#waiting.keys()];
    for (const connection of connections) this.#release(connection);
    return connections.filter((connection) => !connection.closed);
  }

  /** Closes them all, without a word. */
  close(): void {
    for (const connection of this.takeAll()) connection.destroy();
  }

  #drop(connection: Connection, why: string): void {
    if (!this.#release(connection)) return;
    connection.destroy();
    this.#options.onDropped(connection, why);
  }

  /** @returns whether it was still waiting. */
  #release(connection: Connection): boolean {
    this.#waiting.get(connection)?.();
    return this.#waiting.delete(connection);
  }
}
