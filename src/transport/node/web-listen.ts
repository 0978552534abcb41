import { createServer as createPlainServer, type IncomingMessage, type RequestListener, type Server, STATUS_CODES } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Duplex, Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import { MultifdError } from '../../errors.ts';
import { METHOD, RESPONSE_HEADERS } from '../carriers/http.ts';
import { PROTOCOL, sameToken, tokenOf } from '../carriers/token.ts';
import { type WebSocketLike, webSocketPair } from '../carriers/web-socket.ts';
import type { Door, DoorOptions } from '../dial.ts';
import { StreamLink, type StreamPair } from '../stream-link.ts';
import { formatUri, type WebUri } from '../uri.ts';
import { listen } from './listen.ts';
import { explainTls, notAuthorized, serverContext } from './tls.ts';
import { webWritable } from './web-writable.ts';

/** The largest WebSocket message taken. Its borders mean nothing, so a source has no reason to send larger ones. */
const MAX_MESSAGE = 16 << 20;

/**
 * Listens for WebSockets and for POSTs, on one port and one path: a source may come by either.
 * @throws MultifdError ERR_LISTEN; ERR_OPTION for `wss:` and `https:` without certificates.
 */
export async function listenForWeb(uri: WebUri, options: DoorOptions): Promise<Door> {
  const { token, onLink, onStranger } = options;
  const open = new Set<Duplex>();
  const pathname = uri.path.split('?')[0]!;
  const from = (request: IncomingMessage): string => request.socket.remoteAddress ?? 'a client';

  /** @returns the status to refuse it with, if it has to be. */
  const refuse = (request: IncomingMessage): number | undefined => {
    const { authorization, 'sec-websocket-protocol': protocols } = request.headers;
    if (request.url?.split('?')[0] !== pathname) return 404;
    if (token !== undefined && !sameToken(token, tokenOf({ authorization, protocols }))) return 401;
    return open.size > options.maxConnections ? 503 : undefined;
  };
  const told = (request: IncomingMessage, status: number): void => onStranger?.(`refused a connection from ${from(request)} with status ${status} (${STATUS_CODES[status]})`);

  const server = createServer(uri, options, (request, response) => {
    const status = refuse(request) ?? (request.method === METHOD ? undefined : 405);
    if (status !== undefined) {
      told(request, status);
      response.writeHead(status, status === 401 ? { 'WWW-Authenticate': 'Bearer' } : { Connection: 'close' }).end();
      return;
    }
    response.writeHead(200, RESPONSE_HEADERS);
    response.flushHeaders();
    // Node's types of the two kinds of streams differ in name only.
    const readable = Readable.toWeb(request) as unknown as StreamPair['readable'];
    onLink(new StreamLink({ readable, writable: webWritable(response) }, from(request)));
    // Each connection is of one migration: nothing comes after it.
    const { socket } = request;
    void Promise.allSettled([finished(request), finished(response)]).then(() => socket.destroySoon());
  });
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE, perMessageDeflate: false, handleProtocols: (protocols) => (protocols.has(PROTOCOL) ? PROTOCOL : false) });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const status = refuse(request);
    if (status !== undefined) {
      told(request, status);
      return void socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => onLink(new StreamLink(webSocketPair(webSocket as unknown as WebSocketLike), from(request))));
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    const unwanted = notAuthorized(socket, options.tls!);
    if (unwanted === undefined) return;
    onStranger?.(`dropped a connection from ${socket.remoteAddress ?? 'a client'}: ${unwanted}`);
    socket.destroy();
  });
  server.on('tlsClientError', (error: Error) => onStranger?.(`dropped a connection: ${explainTls(error)}`));
  server.on('connection', (socket: Duplex) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  try {
    await listen(server, uri);
  } catch (cause) {
    throw new MultifdError('ERR_LISTEN', `can't listen on ${formatUri(uri)}: ${(cause as Error).message}`, { cause });
  }
  server.on('error', (error) => onStranger?.(`could not take a connection: ${error.message}`));
  return {
    uri: { ...uri, port: (server.address() as AddressInfo).port },
    close: () => void server.close(),
  };
}

function createServer(uri: WebUri, { tls, timeout }: DoorOptions, listener: RequestListener): Server {
  // A migration is one request, for as long as it takes; only its head has to come in time.
  const limits = { headersTimeout: timeout, requestTimeout: 0, keepAliveTimeout: 0, connectionsCheckingInterval: Math.min(timeout, 1_000) };
  if (!uri.secure) {
    if (tls !== undefined) throw new MultifdError('ERR_OPTION', `TLS for ${formatUri(uri)}: use wss: or https:`);
    return createPlainServer(limits, listener);
  }
  if (tls?.kind !== 'x509') throw new MultifdError('ERR_OPTION', `${formatUri(uri)} needs a certificate: give tls a folder of them`);
  return createSecureServer({ ...limits, ...serverContext(tls), handshakeTimeout: timeout }, listener) as unknown as Server;
}
