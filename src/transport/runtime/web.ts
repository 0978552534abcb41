import type * as node from './node.ts';
import { MultifdError } from '../../util/errors.ts';
import { METHOD, refusal, requestHeaders, requestPair } from '../adapters/http.ts';
import { protocolsFor } from '../adapters/admission.ts';
import { type WebSocketLike, webSocketPair } from '../adapters/web-socket.ts';
import { opened } from '../connection-like.ts';
import { type DialOptions } from '../listener.ts';
import { type Connection } from '../connection.ts';
import { StreamConnection } from '../stream-connection.ts';
import { formatUri, type WebUri } from '../uri.ts';
import { unsupported } from '../../util/runtime.ts';

export const loadClientTls: typeof node.loadClientTls = async () =>
  unsupported('TLS credentials of our own');
export const loadServerTls: typeof node.loadServerTls = async () =>
  unsupported('TLS credentials of our own');
export const listen: typeof node.listen = async () => unsupported('ports to listen on');
export const socketFdOf: typeof node.socketFdOf = () => undefined;
export const acceptUpgrade: typeof node.acceptUpgrade = () => undefined;

export const dial: typeof node.dial = (uri, options) => {
  if (uri.kind === 'ws')
    return within(uri, options, async (token) =>
      webSocketLink(
        new WebSocket(formatUri(uri), protocolsFor(token)) as unknown as WebSocketLike,
        formatUri(uri),
      ),
    );
  if (uri.kind === 'http' && options.toSource) return requestsEnd();
  if (uri.kind === 'http') return within(uri, options, async (token) => requestLink(uri, token));
  return unsupported(uri.kind === 'tcp' ? 'TCP sockets' : 'Unix sockets');
};

/** A page's request is sent before its response is read; workerd's ends with its response. */
export function requestsEnd(): never {
  throw new MultifdError(
    'ERR_UNSUPPORTED',
    "a request here does not go on behind the end of its response, as a target's would have " +
      'to: use ws:',
  );
}

export async function webSocketLink(socket: WebSocketLike, peer: string): Promise<Connection> {
  await opened(socket, peer);
  return new StreamConnection(webSocketPair(socket), peer);
}

export function requestLink(uri: WebUri, token: string | undefined): Connection {
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
export function within(
  uri: WebUri,
  { timeout, signal, channel, tls, token }: DialOptions,
  open: (token: string | undefined) => Promise<Connection>,
): Promise<Connection> {
  if (tls !== undefined) return unsupported('TLS credentials of our own');
  return new Promise((resolve, reject) => {
    let given = false;
    const give = (act: () => void): void => {
      given = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      act();
    };
    const onAbort = (): void =>
      give(() =>
        reject(new MultifdError('ERR_CANCELLED', 'cancelled while connecting', { channel })),
      );
    const timer = setTimeout(
      () =>
        give(() =>
          reject(
            new MultifdError(
              'ERR_TIMEOUT',
              `${formatUri(uri)} did not answer within ${timeout / 1000} s`,
              { channel },
            ),
          ),
        ),
      timeout,
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) return onAbort();
    open(token).then(
      (connection) => (given ? connection.destroy() : give(() => resolve(connection))),
      (error: unknown) => {
        if (!given) give(() => reject(MultifdError.from(error, 'ERR_CONNECT', { channel })));
      },
    );
  });
}

export const fdInput: typeof node.fdInput = () => unsupported('descriptors');

export const fdOutput: typeof node.fdOutput = () => undefined;
