import {
  createServer as createPlainServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  STATUS_CODES,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import { MultifdError } from '../../util/errors.ts';
import { adviceOn, refusalOf, PROTOCOL } from '../adapters/admission.ts';
import { METHOD, RESPONSE_HEADERS } from '../adapters/http.ts';
import { MAX_MESSAGE, type WebSocketLike, webSocketPair } from '../adapters/web-socket.ts';
import type { Listener, ListenOptions } from '../listener.ts';
import { CLOSE_MS } from '../connection.ts';
import { StreamConnection } from '../stream-connection.ts';
import { formatUri, type WebUri } from '../schemes.ts';
import { listen } from './listen.ts';
import { explainTls, notAuthorized, serverContext } from './tls.ts';
import { webReadable, webWritable } from './web-streams.ts';

/**
 * Listens for WebSockets and for POSTs, on one port and one path: a source may come by either.
 * @throws MultifdError ERR_LISTEN; ERR_OPTION for `wss:` and `https:` without certificates.
 */
export async function listenForWeb(uri: WebUri, options: ListenOptions): Promise<Listener> {
  const { onConnection, onRejected } = options;
  /** Connections that have asked for nothing yet, or for what was refused. */
  const unknown = new Map<string, Socket>();
  const pathname = uri.path.split('?')[0]!;
  const from = (request: IncomingMessage): string => request.socket.remoteAddress ?? 'a client';

  /** @returns the status to refuse it with, if it has to be. */
  const refuse = (request: IncomingMessage): number | undefined => {
    const { authorization, 'sec-websocket-protocol': protocols, origin } = request.headers;
    if (request.url?.split('?')[0] !== pathname) return 404;
    const refusal = refusalOf({ authorization, protocols, origin }, options);
    if (refusal !== undefined) return refusal;
    // A second request over one connection, or one after the listener was closed.
    return unknown.has(nameOf(request.socket)) ? undefined : 503;
  };
  const told = (request: IncomingMessage, status: number): void => {
    const refused = `refused a connection from ${from(request)} with status ${status}`;
    const advice = adviceOn(status, request.headers.origin);
    onRejected?.(`${refused} (${STATUS_CODES[status]})${advice}`);
  };

  const server = createServer(uri, options, (request, response) => {
    const status = refuse(request) ?? (request.method === METHOD ? undefined : 405);
    if (status !== undefined) {
      told(request, status);
      response.writeHead(status, status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}).end();
      request.on('error', () => {}).resume();
      return linger(request.socket);
    }
    unknown.delete(nameOf(request.socket));
    response.writeHead(200, RESPONSE_HEADERS);
    response.flushHeaders();
    onConnection(
      new StreamConnection(
        { readable: webReadable(request), writable: webWritable(response) },
        from(request),
      ),
    );
    // Each connection is of one migration: nothing comes after it.
    const { socket } = request;
    void Promise.allSettled([finished(request), finished(response)]).then(() =>
      socket.destroySoon(),
    );
  });
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE,
    perMessageDeflate: false,
    handleProtocols: (protocols) => (protocols.has(PROTOCOL) ? PROTOCOL : false),
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const status = refuse(request);
    if (status !== undefined) {
      told(request, status);
      return refuseUpgrade(socket, status);
    }
    unknown.delete(nameOf(request.socket));
    sockets.handleUpgrade(request, socket, head, (webSocket) =>
      onConnection(
        new StreamConnection(webSocketPair(webSocket as unknown as WebSocketLike), from(request)),
      ),
    );
  });
  sockets.on('wsClientError', (error: Error, socket: Duplex, request: IncomingMessage) => {
    onRejected?.(`dropped a connection from ${from(request)}: ${error.message}`);
    refuseUpgrade(socket, 400);
  });
  server.on('clientError', (error: Error, socket: Socket) => {
    // In the middle of a body, the read of it fails.
    if (unknown.has(nameOf(socket)))
      onRejected?.(
        `dropped a connection from ${socket.remoteAddress ?? 'a client'}: ${error.message}`,
      );
    socket.destroy(error);
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    const unwanted = notAuthorized(socket, options.tls!);
    if (unwanted === undefined) return;
    onRejected?.(`dropped a connection from ${socket.remoteAddress ?? 'a client'}: ${unwanted}`);
    socket.destroy();
  });
  server.on('tlsClientError', (error: Error) =>
    onRejected?.(`dropped a connection: ${explainTls(error)}`),
  );
  server.on('connection', (socket: Socket) => {
    const name = nameOf(socket);
    if (unknown.size >= options.maxConnections) {
      onRejected?.(
        `dropped a connection from ${socket.remoteAddress ?? 'a client'}: ` +
          `${options.maxConnections} others have not said yet what they are`,
      );
      return void socket.destroy();
    }
    unknown.set(name, socket);
    socket.once('close', () => unknown.delete(name));
  });
  try {
    await listen(server, uri);
  } catch (cause) {
    throw new MultifdError(
      'ERR_LISTEN',
      `can't listen on ${formatUri(uri)}: ${(cause as Error).message}`,
      { cause },
    );
  }
  server.on('error', (error) => onRejected?.(`could not take a connection: ${error.message}`));
  return {
    uri: { ...uri, port: (server.address() as AddressInfo).port },
    close() {
      server.close();
      // The server looks after the time of those no more.
      for (const socket of unknown.values()) socket.destroy();
      unknown.clear();
    },
  };
}

/** The same for a connection and for the TLS over it. */
function nameOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

/**
 * Node leaves such a connection to us, with its errors, which would end the process if they were
 * not handled.
 */
function refuseUpgrade(socket: Duplex, status: number): void {
  socket
    .on('error', () => {})
    .end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: ` +
        `0\r\n\r\n`,
    );
  linger(socket.resume());
}

/**
 * A connection that is closed with data unread is reset, and the response can be lost over that. So
 * the client closes once it has the response; after {@link CLOSE_MS} milliseconds we do.
 */
function linger(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), CLOSE_MS);
  socket.once('close', () => clearTimeout(timer));
}

function createServer(
  uri: WebUri,
  { tls, timeout }: ListenOptions,
  listener: RequestListener,
): Server {
  // A migration is one request, for as long as it takes; only its head has to come in time.
  const limits = {
    headersTimeout: timeout,
    requestTimeout: 0,
    keepAliveTimeout: 0,
    connectionsCheckingInterval: Math.min(timeout, 1_000),
  };
  if (!uri.secure) {
    if (tls !== undefined)
      throw new MultifdError('ERR_OPTION', `TLS for ${formatUri(uri)}: use wss: or https:`);
    return createPlainServer(limits, listener);
  }
  if (tls?.kind !== 'x509')
    throw new MultifdError(
      'ERR_OPTION',
      `${formatUri(uri)} needs a certificate: give tls a folder of them`,
    );
  return createSecureServer(
    { ...limits, ...serverContext(tls), handshakeTimeout: timeout },
    listener,
  ) as unknown as Server;
}
