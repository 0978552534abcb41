import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { MultifdError } from '../../util/errors.ts';
import type { Listener, ListenOptions } from '../listener.ts';
import { formatUri, type ConnectionUri } from '../schemes.ts';
import { listenAtPath } from '../sockets/socket-file.ts';
import { SocketConnection } from './socket-connection.ts';
import { acceptTls } from './tls.ts';
import type { ServerTls } from './tls-credentials.ts';

type SocketUri = Extract<ConnectionUri, { kind: 'tcp' | 'unix' }>;

/** Listens for sockets. @throws MultifdError ERR_LISTEN. */
export async function listenForSockets(uri: SocketUri, options: ListenOptions): Promise<Listener> {
  /** For each handshake under way: ends it without a word. */
  const handshakes = new Set<() => void>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    if (options.tls === undefined) options.onConnection(new SocketConnection(socket));
    else void secure(socket, options.tls, handshakes, options);
  });
  let removeName = (): void => {};
  try {
    if (uri.kind === 'tcp') await listen(server, uri);
    else removeName = await listenAtPath(uri.path, (path) => listen(server, { path }));
  } catch (cause) {
    server.close();
    throw new MultifdError(
      'ERR_LISTEN',
      `can't listen on ${formatUri(uri)}: ${(cause as Error).message}`,
      { cause },
    );
  }
  // Such as too many open files when a connection comes: that one is lost, and listening goes on.
  server.on('error', (error) =>
    options.onRejected?.(`could not take a connection: ${error.message}`),
  );
  return {
    uri: uri.kind === 'tcp' ? { ...uri, port: (server.address() as AddressInfo).port } : uri,
    close() {
      removeName();
      server.close();
      for (const abandon of handshakes) abandon();
    },
  };
}

/** @param at where: of a `tcp:` or web URI host and port, of a `unix:` URI the path. */
export function listen(
  server: Server,
  at: { host: string; port: number } | { path: string },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(
      'port' in at ? { host: at.host || '127.0.0.1', port: at.port } : { path: at.path },
      () => {
        server.off('error', reject);
        resolve();
      },
    );
  });
}

/** Completes the handshake before anything is read from the connection. */
async function secure(
  raw: Socket,
  tls: ServerTls,
  handshakes: Set<() => void>,
  { timeout, maxConnections, onConnection, onRejected }: ListenOptions,
): Promise<void> {
  const from = raw.remoteAddress ?? 'a local process';
  let abandoned = false;
  const abandon = (): void => {
    abandoned = true;
    raw.destroy();
  };
  raw.on('error', () => {}); // the handshake is told
  try {
    if (handshakes.size >= maxConnections) {
      abandon();
      return onRejected?.(
        `dropped a connection from ${from}: ${maxConnections} others have not said yet what ` +
          'they are',
      );
    }
    handshakes.add(abandon);
    const socket = await acceptTls(raw, tls, timeout);
    if (!abandoned) onConnection(new SocketConnection(socket));
  } catch (thrown) {
    if (!abandoned) onRejected?.(`dropped a connection from ${from}: ${(thrown as Error).message}`);
  } finally {
    handshakes.delete(abandon);
  }
}
