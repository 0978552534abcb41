import { dial, loadClientTls, loadServerTls, openDoor } from '#host/links';
import { MultifdError } from '../errors.ts';
import { observer } from '../callbacks.ts';
import { answering, givenObject, integer } from '../checks.ts';
import { checkAdmission } from '../transport/carriers/admission.ts';
import type { Door } from '../transport/dial.ts';
import { join } from '../transport/join.ts';
import type { Link } from '../transport/link.ts';
import type { IncomingTls, OutgoingTls } from '../transport/node/tls-credentials.ts';
import { formatUri, hostOf, type LinkUri, parseUri } from '../transport/uri.ts';
import { Pairing } from './pairing.ts';

export interface ProxyOptions {
  /** Where the proxy listens: any URI but `file:`. */
  from: string | URL;
  /** Where it connects to, once for each connection that comes; with `rendezvous`, where it listens too. */
  to: string | URL;
  /** Listen at both, and join the connections of either side in the order in which they come (false): for two ends that can both only connect. */
  rendezvous?: boolean;
  /** For ws: and http:, what a client has to show at `from` (none). */
  token?: string;
  /** For ws: and http:, what is shown at `to`, or with `rendezvous` has to be shown there (none). */
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
  /** Connections at a time (512). */
  maxConnections?: number;
  /** Milliseconds for connecting, and for handshakes (30000). */
  timeout?: number;
  /** Told of connections that were refused, dropped, or could not be passed on. An error of it is a warning. */
  onStranger?: (why: string) => void;
}

export interface ProxyStatistics {
  /** Pairs of connections so far. */
  connections: number;
  /** Of those, joined now. */
  open: number;
  /** Bytes passed on, both ways together. */
  transferred: number;
}

export interface Proxy {
  /** Where it listens, with the port it got. */
  readonly uri: string;
  /** The same of `to`, with `rendezvous`. */
  readonly toUri: string;
  readonly statistics: ProxyStatistics;
  /** Lets no more in, and closes what is open. */
  close(): Promise<void>;
}

/**
 * Joins any two transports, connection by connection, without looking at what they carry: a QEMU that knows sockets reaches a page that knows WebSockets, and
 * N channels cross one port.
 *
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_IO, ERR_TLS, ERR_LISTEN.
 */
export function proxy(options: ProxyOptions): Promise<Proxy> {
  return answering(() => open(givenObject('proxy', options)));
}

async function open(options: ProxyOptions): Promise<Proxy> {
  const { rendezvous = false, token, toToken, tls, toTls } = options;
  const onStranger = observer('onStranger', options.onStranger);
  const from = linkUri(options.from);
  const to = linkUri(options.to);
  const timeout = integer('timeout', options.timeout ?? 30_000, 1, 2 ** 31 - 1);
  const maxConnections = integer('max connections', options.maxConnections ?? 512, 1, 65536);
  const { origins, toOrigins } = options;
  checkAdmission({ token, origins });
  checkAdmission({ token: toToken, origins: toOrigins });
  const statistics: ProxyStatistics = { connections: 0, open: 0, transferred: 0 };
  const closing = new AbortController();
  const links = new Set<Link>();
  const joined = new Set<Promise<void>>();

  const carry = (a: Link, b: Link): void => {
    statistics.connections++;
    statistics.open++;
    const work = join(a, b, (bytes) => void (statistics.transferred += bytes)).finally(() => {
      statistics.open--;
      joined.delete(work);
      links.delete(a);
      links.delete(b);
    });
    joined.add(work);
  };
  /** @returns whether there is room for it. */
  const admit = (link: Link): boolean => {
    const room = !closing.signal.aborted && links.size < 2 * maxConnections;
    if (room) {
      links.add(link);
      link.onBroken(() => links.delete(link)); // also of those that wait still
    } else {
      link.destroy();
      onStranger(`dropped a connection from ${link.peer}: ${maxConnections} are open`);
    }
    return room;
  };

  const doorOptions = { timeout, maxConnections, onStranger };
  const here = { tls: tls && (await loadServerTls(tls)), token, origins };
  const doors: Door[] = [];
  try {
    if (rendezvous) {
      const pairing = new Pairing(carry);
      const theirs = toTls && (await loadServerTls(toTls));
      const left = (link: Link): void => void (admit(link) && pairing.left(link));
      const right = (link: Link): void => void (admit(link) && pairing.right(link));
      const there = { tls: theirs, token: toToken, origins: toOrigins };
      doors.push(await openDoor(from, { ...doorOptions, ...here, onLink: left }));
      doors.push(await openDoor(to, { ...doorOptions, ...there, onLink: right }));
    } else {
      const clientTls = toTls && (await loadClientTls(toTls, hostOf(to)));
      const onLink = (link: Link): void => {
        if (!admit(link)) return;
        dial(to, { timeout, tls: clientTls, token: toToken, channel: 'main', signal: closing.signal }).then(
          (other) => {
            if (closing.signal.aborted) return other.destroy();
            links.add(other);
            carry(link, other);
          },
          (error: Error) => {
            link.destroy();
            links.delete(link);
            onStranger(`dropped a connection from ${link.peer}: ${error.message}`);
          },
        );
      };
      doors.push(await openDoor(from, { ...doorOptions, ...here, onLink }));
    }
  } catch (error) {
    for (const door of doors) door.close();
    throw error;
  }
  return {
    uri: formatUri(doors[0]!.uri),
    toUri: formatUri(doors[1]?.uri ?? to),
    statistics,
    async close() {
      closing.abort();
      for (const door of doors) door.close();
      for (const link of links) link.destroy();
      await Promise.all(joined);
    },
  };
}

function linkUri(text: string | URL): LinkUri {
  const uri = parseUri(text);
  if (uri.kind === 'file') throw new MultifdError('ERR_URI', `${String(text)}: a proxy joins connections; a file is none`);
  return uri;
}
