import { unlink } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { MultifdError } from '../errors.ts';
import { acceptTls } from './tls.ts';
import type { ServerTls } from './tls-credentials.ts';
import { formatUri, type SocketUri } from './uri.ts';

/** What a connection turned out to be by its first bytes. `read` holds the bytes read so far, those included. */
export type Arrival = { kind: 'main' | 'multifd'; socket: Socket; read: Uint8Array };

export interface ListenOptions {
  /** Milliseconds that a connection has for its TLS handshake, and for its first bytes; then it is dropped. */
  timeout: number;
  /** First four bytes of a main channel, and of a multifd channel. */
  magics: { main: number; multifd: number };
  /** Bytes of a multifd channel's initial packet: it arrives when these are there. */
  initialBytes: number;
  /** Every connection has to be TLS; without it, plain. */
  tls?: ServerTls | undefined;
  onArrival(arrival: Arrival): void;
  /** A connection that was none of ours: told, and forgotten. */
  onStranger?(why: string): void;
}

const MAGIC_BYTES = 4;
/** First bytes of a TLS connection: a handshake record, of version 3 whatever the version. */
const TLS_RECORD = 0x1603;
/** Handshakes under way at a time: more than the 256 connections of the largest migration, few enough to keep their memory small. */
const MAX_HANDSHAKES = 512;

/** Listens for the connections of one migration, which come in any order, and tells them apart. What is none of them is dropped, and listening goes on. */
export class Listener {
  /** Where it listens, with the port it got. */
  readonly uri: SocketUri;
  readonly #server: Server;
  /** For each connection that has not said yet what it is: closes it without a word. */
  readonly #unknown: Set<() => void>;

  private constructor(uri: SocketUri, server: Server, unknown: Set<() => void>) {
    this.uri = uri;
    this.#server = server;
    this.#unknown = unknown;
  }

  /** @throws MultifdError ERR_LISTEN. */
  static async open(uri: SocketUri, options: ListenOptions): Promise<Listener> {
    const unknown = new Set<() => void>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      if (options.tls === undefined) identify(socket, unknown, options);
      else void secure(socket, options.tls, unknown, options);
    });
    try {
      await listen(server, uri).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EADDRINUSE' || uri.kind !== 'unix' || !(await isStale(uri.path))) throw error;
        await unlink(uri.path);
        await listen(server, uri);
      });
    } catch (cause) {
      throw new MultifdError('ERR_LISTEN', `can't listen on ${formatUri(uri)}: ${(cause as Error).message}`, { cause });
    }
    // Such as too many open files when a connection comes: that one is lost, and listening goes on.
    server.on('error', (error) => options.onStranger?.(`could not take a connection: ${error.message}`));
    const bound = uri.kind === 'tcp' ? { ...uri, port: (server.address() as AddressInfo).port } : uri;
    return new Listener(bound, server, unknown);
  }

  /** Stops listening and drops what has not identified itself; connections that arrived stay. */
  close(): void {
    this.#server.close();
    for (const abandon of this.#unknown) abandon();
  }
}

function listen(server: Server, uri: SocketUri): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(uri.kind === 'tcp' ? { host: uri.host || '127.0.0.1', port: uri.port } : { path: uri.path }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** A socket file that nobody listens on any more, left behind by a process that was killed. */
function isStale(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}

/** Does the handshake, and only then looks at what the connection says. */
async function secure(raw: Socket, tls: ServerTls, unknown: Set<() => void>, options: ListenOptions): Promise<void> {
  const { timeout, onStranger } = options;
  const from = sender(raw);
  let abandoned = false;
  const abandon = (): void => {
    abandoned = true;
    raw.destroy();
  };
  raw.on('error', () => {}); // the handshake is told
  try {
    if (unknown.size >= MAX_HANDSHAKES) {
      abandon();
      return onStranger?.(`dropped a connection from ${from}: ${MAX_HANDSHAKES} others have not said yet what they are`);
    }
    unknown.add(abandon);
    const socket = await acceptTls(raw, tls, timeout);
    if (!abandoned) identify(socket, unknown, options);
  } catch (thrown) {
    if (!abandoned) onStranger?.(`dropped a connection from ${from}: ${(thrown as Error).message}`);
  } finally {
    unknown.delete(abandon);
  }
}

function sender(socket: Socket): string {
  return socket.remoteAddress ?? 'a local process';
}

function identify(socket: Socket, unknown: Set<() => void>, { timeout, magics, initialBytes, onArrival, onStranger }: ListenOptions): void {
  let read: Uint8Array = new Uint8Array(0);
  const from = sender(socket);
  socket.on('error', () => {}); // whoever reads or writes next is told

  const settle = (): void => {
    clearTimeout(timer);
    unknown.delete(abandon);
    socket.off('readable', look);
    socket.off('end', ended);
    socket.off('close', closed);
  };
  const abandon = (): void => {
    settle();
    socket.destroy();
  };
  const drop = (why: string): void => {
    abandon();
    onStranger?.(`dropped a connection from ${from}: ${why}`);
  };
  const arrive = (kind: Arrival['kind']): void => {
    settle();
    onArrival({ kind, socket, read });
  };
  const look = (): void => {
    for (let chunk: Uint8Array | null; (chunk = socket.read() as Uint8Array | null) !== null; ) read = Buffer.concat([read, chunk]);
    if (read.length < MAGIC_BYTES) return;
    const magic = new DataView(read.buffer, read.byteOffset).getUint32(0);
    if (magic === magics.main) arrive('main');
    else if (magic >>> 16 === TLS_RECORD) drop('its first bytes are not those of a migration but of TLS: use TLS at both ends or at none');
    else if (magic !== magics.multifd) drop('its first bytes are not those of a migration');
    else if (read.length >= initialBytes) arrive('multifd');
  };
  const ended = (): void => drop('it ended before it said what it is');
  const closed = (): void => drop('it was reset before it said what it is');
  const timer = setTimeout(() => drop(`it did not say what it is within ${timeout / 1000} s`), timeout);
  unknown.add(abandon);
  socket.on('readable', look);
  socket.on('end', ended);
  socket.on('close', closed);
}
