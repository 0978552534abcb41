import type * as node from './node.ts';
import { openWithin } from '../../util/deadline.ts';
import { MultifdError } from '../../util/errors.ts';
import { METHOD, refusal, requestHeaders, requestPair } from '../adapters/http.ts';
import { protocolsFor } from '../adapters/admission.ts';
import { type WebSocketLike, webSocketPair } from '../adapters/web-socket.ts';
import { opened } from '../connection-like.ts';
import { type Adapter, cancelledConnecting, type DialOptions } from '../listener.ts';
import type { Connection } from '../connection.ts';
import { StreamConnection } from '../stream-connection.ts';
import { type ConnectionUri, formatUri, type WebUri } from '../schemes.ts';
import { unsupported } from '../../util/runtime.ts';

export const loadClientTls: typeof node.loadClientTls = async () =>
  unsupported('TLS credentials of our own');
export const loadServerTls: typeof node.loadServerTls = async () =>
  unsupported('TLS credentials of our own');
export const socketFdOf: typeof node.socketFdOf = () => undefined;
export const acceptUpgrade: typeof node.acceptUpgrade = () => undefined;

const listen = (): never => unsupported('ports to listen on');

/** @param what the connections' kind, such as `TCP sockets`. */
export const without = (what: string): Adapter<ConnectionUri> => ({
  dial: () => unsupported(what),
  listen,
});

/** @param open gives a WebSocket's connection. */
export const webSockets = (
  open: (uri: WebUri, token: string | undefined) => Promise<Connection>,
): Adapter<WebUri> => ({
  dial: (uri, options) => openInTime(uri, options, (token) => open(uri, token)),
  listen,
});

export const http: Adapter<WebUri> = {
  dial: (uri, options) =>
    options.toSource
      ? requestsEnd()
      : openInTime(uri, options, async (token) => requestConnection(uri, token)),
  listen,
};

export const ADAPTERS: typeof node.ADAPTERS = {
  tcp: without('TCP sockets'),
  unix: without('Unix sockets'),
  ws: webSockets(async (uri, token) => {
    const at = formatUri(uri);
    const socket = new WebSocket(at, protocolsFor(token)) as unknown as WebSocketLike;
    return webSocketConnection(socket, at);
  }),
  http,
};

/** A page's request is sent before its response is read; workerd's ends with its response. */
function requestsEnd(): never {
  throw new MultifdError(
    'ERR_UNSUPPORTED',
    "a request here does not go on behind the end of its response, as a target's would have " +
      'to: use ws:',
  );
}

export async function webSocketConnection(
  socket: WebSocketLike,
  peer: string,
): Promise<Connection> {
  await opened(socket, peer);
  return new StreamConnection(webSocketPair(socket), peer);
}

function requestConnection(uri: WebUri, token: string | undefined): Connection {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  // `duplex` is no part of the DOM's types yet; it is demanded for bodies that are streams.
  const unwanted = new AbortController();
  const request = {
    method: METHOD,
    headers: requestHeaders(token),
    body: readable,
    duplex: 'half',
    signal: unwanted.signal,
  } as RequestInit;
  const answer = fetch(formatUri(uri), request).then(
    (response) => {
      if (response.status !== 200 || response.body === null) throw refusal(uri, response.status);
      return response.body;
    },
    (cause: unknown) => {
      throw new MultifdError(
        'ERR_CONNECT',
        `${formatUri(uri)} can't be reached: ${(cause as Error).message}; browsers stream ` +
          'requests over HTTP/2 only, use ws: there',
        { cause },
      );
    },
  );
  return new StreamConnection(
    requestPair(writable, answer, () => unwanted.abort()),
    formatUri(uri),
  );
}

/** @throws MultifdError ERR_TIMEOUT or ERR_CANCELLED. */
function openInTime(
  uri: WebUri,
  { timeout, signal, channel, tls, token }: DialOptions,
  open: (token: string | undefined) => Promise<Connection>,
): Promise<Connection> {
  if (tls !== undefined) return unsupported('TLS credentials of our own');
  const why = `${formatUri(uri)} did not answer within ${timeout / 1000} s`;
  return openWithin(
    {
      timeout,
      signal,
      late: () => new MultifdError('ERR_TIMEOUT', why, { channel }),
      cancelled: (by) => cancelledConnecting(channel, by),
    },
    () => open(token),
    (connection) => connection.destroy(),
    (error) => MultifdError.from(error, 'ERR_CONNECT', { channel }),
  );
}

export const fdInput: typeof node.fdInput = () => unsupported('descriptors');

export const fdOutput: typeof node.fdOutput = () => undefined;
