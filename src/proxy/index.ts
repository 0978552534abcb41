import { loadClientTls, loadServerTls } from '#sockets';
import { dial, listen } from '../transport/listener.ts';
import { observer } from '../util/callbacks.ts';
import { givenOptions, type OptionNames } from '../util/options.ts';
import { answering, integer } from '../util/checks.ts';
import { type Closable, closable } from '../util/closing.ts';
import { Progress } from '../util/progress.ts';
import { Watchdog } from '../migration/watchdog.ts';
import { checkAdmission } from '../transport/adapters/admission.ts';
import type { Listener } from '../transport/listener.ts';
import { pipeBoth } from '../transport/pipe.ts';
import type { Connection } from '../transport/connection.ts';
import type { IncomingTls, OutgoingTls } from '../transport/sockets/tls-credentials.ts';
import { formatUri, hostOf, parseConnectionUri } from '../transport/schemes.ts';
import { MAX_WAIT_MS } from '../transport/connection-queue.ts';
import { Pairing } from './pairing.ts';

/** What `proxy` takes. */
export interface ProxyOptions {
  /** Where the proxy listens: any URI but `file:`. */
  from: string | URL;
  /**
   * Where it connects to, once for each connection that comes; with `rendezvous`, where it listens
   * too.
   */
  to: string | URL;
  /**
   * Listen at both, and join the connections of either side in the order in which they come
   * (false): for two ends that can both only connect.
   */
  rendezvous?: boolean;
  /** For ws: and http:, what a client has to show at `from` (none). */
  token?: string;
  /**
   * For ws: and http:, what is shown at `to`, or with `rendezvous` has to be shown there (none).
   */
  toToken?: string;
  /**
   * Of which origins a page may come to a ws: or http: `from`, as browsers send them, such as
   * `https://example.com`, or `*` for any. Without a token none but those may come (none); with one
   * any, unless they are given too.
   */
  origins?: readonly string[];
  /** The same of `to`, with `rendezvous`. */
  toOrigins?: readonly string[];
  /** TLS at `from` (none). */
  tls?: IncomingTls;
  /** TLS at `to` (none). */
  toTls?: OutgoingTls;
  /** Connections of either side at a time (512). */
  maxConnections?: number;
  /**
   * Milliseconds for connecting, for handshakes, and for no progress at all (30000): when nothing
   * has moved for so long on any pair of connections that is open, all pairs are closed. One alone
   * may be silent, for the proxy does not know which belong to one migration, and a channel of a
   * healthy one may have nothing to say.
   */
  timeout?: number;
  /** With `rendezvous`, milliseconds that a connection waits for its counterpart (600000). */
  maxWait?: number;
  /**
   * Told of connections that were refused, dropped, closed, or could not be passed on. An error of
   * it is a warning.
   */
  onRejected?: (why: string) => void;
}

const PROXY_NAMES = {
  from: true,
  to: true,
  rendezvous: true,
  token: true,
  toToken: true,
  origins: true,
  toOrigins: true,
  tls: true,
  toTls: true,
  maxConnections: true,
  timeout: true,
  maxWait: true,
  onRejected: true,
} as const satisfies OptionNames<ProxyOptions>;

/** What has gone through a proxy. */
export interface ProxyStatistics {
  /** Pairs of connections so far. */
  connections: number;
  /** Of those, joined now. */
  open: number;
  /** Bytes passed on, both ways together. */
  transferred: number;
}

/** To close it lets no more in, and closes what is open. */
export interface Proxy extends Closable {
  /** Where it listens, with the port it got. */
  readonly uri: string;
  /** The same of `to`, with `rendezvous`. */
  readonly toUri: string;
  /** As of now: its numbers change. */
  readonly statistics: ProxyStatistics;
  /**
   * The same, to be iterated: what has changed, at most about five times a second, and at last how
   * it was closed. To break off the iteration ends nothing else.
   */
  readonly progress: AsyncIterable<ProxyStatistics>;
}

/**
 * Joins any two transports, connection by connection, without parsing what they carry: a QEMU
 * that knows sockets reaches a page that knows WebSockets, and N channels cross one port.
 *
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_IO, ERR_TLS, ERR_LISTEN.
 */
export function proxy(options: ProxyOptions): Promise<Proxy> {
  return answering(() => open(givenOptions('proxy', options, PROXY_NAMES)));
}

async function open(options: ProxyOptions): Promise<Proxy> {
  const { rendezvous = false, token, toToken, tls, toTls } = options;
  const onRejected = observer('onRejected', options.onRejected);
  const from = parseConnectionUri(options.from, ofFile);
  const to = parseConnectionUri(options.to, ofFile);
  const timeout = integer('timeout', options.timeout ?? 30_000, 1, 2 ** 31 - 1);
  const maxConnections = integer('max connections', options.maxConnections ?? 512, 1, 65536);
  const { origins, toOrigins } = options;
  const maxWait = integer('max wait', options.maxWait ?? MAX_WAIT_MS, 1, 2 ** 31 - 1);
  checkAdmission({ token, origins });
  checkAdmission({ token: toToken, origins: toOrigins });
  const statistics: ProxyStatistics = { connections: 0, open: 0, transferred: 0 };
  const progress = new Progress<ProxyStatistics>();
  const closing = new AbortController();
  /** Counterparts that are being connected. */
  const dials = new Set<Promise<void>>();
  /** Of either side, those that are joined, and those that wait to be. */
  const [atFrom, atTo] = [new Set<Connection>(), new Set<Connection>()];
  /** Those that are joined, and what their join comes to. */
  const pairs = new Map<readonly [Connection, Connection], Promise<void>>();

  const connectPair = (a: Connection, b: Connection): void => {
    statistics.connections++;
    statistics.open++;
    const pair = [a, b] as const;
    const work = pipeBoth(a, b, (bytes) => void (statistics.transferred += bytes)).finally(() => {
      statistics.open--;
      pairs.delete(pair);
      atFrom.delete(a);
      atTo.delete(b);
    });
    pairs.set(pair, work);
  };
  /** @returns whether there is room for it. */
  const admit = (connection: Connection, side: Set<Connection>): boolean => {
    const room = !closing.signal.aborted && side.size < maxConnections;
    if (room) side.add(connection);
    else {
      connection.destroy();
      onRejected(`dropped a connection from ${connection.peer}: ${maxConnections} are open`);
    }
    return room;
  };
  const onDropped = (connection: Connection, why: string): void => {
    atFrom.delete(connection);
    atTo.delete(connection);
    onRejected(`dropped a connection from ${connection.peer}: ${why}`);
  };
  const pairing = new Pairing(connectPair, { most: maxConnections, maxWait, onDropped });
  let told: ProxyStatistics = { ...statistics };
  const tellChange = (): void => {
    const now = { ...statistics };
    const same = (Object.keys(now) as (keyof ProxyStatistics)[]).every((k) => now[k] === told[k]);
    told = now;
    if (!same) progress.put(now);
  };
  const watch = new Watchdog({
    signal: new AbortController().signal,
    timeout,
    progress: () => (pairs.size > 0 ? statistics.transferred + statistics.connections : undefined),
    onLook: () => tellChange(),
    fail({ message }) {
      const stuck = [...pairs.keys()].filter(([a, b]) => !a.closed || !b.closed);
      if (stuck.length === 0) return; // both ends have closed: they only flush
      for (const pair of stuck) for (const connection of pair) connection.destroy();
      onRejected(`closed ${stuck.length} pairs of connections: ${message}`);
    },
  });

  const listenOptions = { timeout, maxConnections, onRejected };
  const listeners: Listener[] = [];
  const close = (): void => {
    closing.abort();
    watch.stop();
    for (const listener of listeners) listener.close();
    pairing.close();
    for (const connection of [...atFrom, ...atTo]) connection.destroy();
  };
  try {
    const here = { tls: tls && (await loadServerTls(tls)), token, origins };
    if (rendezvous) {
      const theirs = toTls && (await loadServerTls(toTls));
      const left = (connection: Connection): void =>
        void (admit(connection, atFrom) && pairing.left(connection));
      const right = (connection: Connection): void =>
        void (admit(connection, atTo) && pairing.right(connection));
      const there = { tls: theirs, token: toToken, origins: toOrigins };
      listeners.push(await listen(from, { ...listenOptions, ...here, onConnection: left }));
      listeners.push(await listen(to, { ...listenOptions, ...there, onConnection: right }));
    } else {
      const clientTls = toTls && (await loadClientTls(toTls, hostOf(to)));
      const onConnection = (connection: Connection): void => {
        if (!admit(connection, atFrom)) return;
        const how = { timeout, tls: clientTls, token: toToken, signal: closing.signal };
        const work = dial(to, { ...how, channel: 'main' }).then(
          (other) => {
            if (closing.signal.aborted) return other.destroy();
            atTo.add(other);
            connectPair(connection, other);
          },
          (error: Error) => {
            connection.destroy();
            onDropped(connection, error.message);
          },
        );
        dials.add(work);
        void work.finally(() => dials.delete(work));
      };
      listeners.push(await listen(from, { ...listenOptions, ...here, onConnection }));
    }
  } catch (error) {
    close();
    throw error;
  }
  let closed: Promise<void> | undefined;
  const closeAll = async (): Promise<void> => {
    const work = [...pairs.values(), ...dials];
    close();
    await Promise.all(work);
    progress.put({ ...statistics });
    progress.end();
  };
  return {
    uri: formatUri(listeners[0]!.uri),
    toUri: formatUri(listeners[1]?.uri ?? to),
    statistics,
    progress,
    ...closable(() => {
      closed ??= closeAll();
      return closed;
    }),
  };
}

const ofFile = (uri: string): string => `${uri}: a proxy joins connections; a file is none`;
