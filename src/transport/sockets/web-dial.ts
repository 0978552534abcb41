import { Agent as PlainAgent, request as plainRequest, type IncomingMessage } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import { WebSocket } from 'ws';
import { MultifdError } from '../../util/errors.ts';
import { METHOD, refusal, requestHeaders, requestPair } from '../adapters/http.ts';
import { PROTOCOL } from '../adapters/admission.ts';
import { MAX_MESSAGE, type WebSocketLike, webSocketPair } from '../adapters/web-socket.ts';
import { attempt } from '../../util/deadline.ts';
import { cancelledConnecting, type DialOptions } from '../listener.ts';
import { StreamConnection } from '../stream-connection.ts';
import { formatUri, type WebUri } from '../schemes.ts';
import { clientContext, explainTls, isTlsError } from './tls.ts';
import { webReadable, webWritable } from './web-streams.ts';

/**
 * One WebSocket, or one POST, to the server at a URI.
 * @throws MultifdError ERR_CONNECT, ERR_AUTH, ERR_TLS, ERR_TIMEOUT or ERR_CANCELLED.
 */
export function dialWeb(uri: WebUri, options: DialOptions): Promise<StreamConnection> {
  if (options.tls !== undefined && !uri.secure)
    throw new MultifdError('ERR_OPTION', `TLS for ${formatUri(uri)}: use wss: or https:`);
  if (options.tls?.kind === 'psk')
    throw new MultifdError(
      'ERR_OPTION',
      'shared keys are for tcp: and unix:, wss: and https: have certificates',
    );
  const { timeout, signal, channel } = options;
  const why = `${formatUri(uri)} did not answer within ${timeout / 1000} s`;
  const limits = {
    timeout,
    signal,
    late: () => new MultifdError('ERR_TIMEOUT', why, { channel }),
    cancelled: (by: AbortSignal) => cancelledConnecting(channel, by),
  };
  return attempt<StreamConnection>(limits, ({ done, failed }) => {
    const opening: Opening = {
      done: (connection) => void done(connection),
      failed: (cause) => failed(explained(uri, channel, cause)),
    };
    const open = uri.kind === 'ws' ? openWebSocket : openRequest;
    return open(uri, options, opening);
  });
}

function explained(uri: WebUri, channel: number | 'main', cause: Error): MultifdError {
  if (cause instanceof MultifdError) return cause;
  if (isTlsError(cause))
    return new MultifdError('ERR_TLS', `no TLS with ${formatUri(uri)}: ${explainTls(cause)}`, {
      channel,
      cause,
    });
  return new MultifdError(
    'ERR_CONNECT',
    `${formatUri(uri)} can't be reached: ${cause.message}; is the other end listening?`,
    { channel, cause },
  );
}

interface Opening {
  done(connection: StreamConnection): void;
  failed(cause: Error): void;
}

/** @returns what ends it. */
function openWebSocket(
  uri: WebUri,
  { tls, token }: DialOptions,
  { done, failed }: Opening,
): () => void {
  const socket = new WebSocket(formatUri(uri), [PROTOCOL], {
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE,
    ...requestOptions(uri, tls),
    headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
  });
  socket.on('error', failed);
  socket.on('unexpected-response', (request, response) => {
    failed(refusal(uri, response.statusCode ?? 0));
    request.destroy();
  });
  socket.once('open', () =>
    done(new StreamConnection(webSocketPair(socket as unknown as WebSocketLike), formatUri(uri))),
  );
  return () => socket.terminate();
}

/** @returns what ends it. */
function openRequest(
  uri: WebUri,
  { tls, token }: DialOptions,
  { done, failed }: Opening,
): () => void {
  // Without keep-alive the end of the response would be the end of the request as well.
  const agent = uri.secure
    ? new SecureAgent({ keepAlive: true })
    : new PlainAgent({ keepAlive: true });
  const send = uri.secure ? secureRequest : plainRequest;
  const request = send({
    host: uri.host,
    port: uri.port,
    path: uri.path,
    method: METHOD,
    agent,
    ...requestOptions(uri, tls),
    headers: requestHeaders(token),
  });
  request.once('close', () => agent.destroy());
  request.flushHeaders();
  const response = new Promise<ReadableStream<Uint8Array>>((resolve, reject) => {
    request.once('response', (answer: IncomingMessage) => {
      if (answer.statusCode === 200) return resolve(webReadable(answer));
      reject(refusal(uri, answer.statusCode ?? 0));
      request.destroy();
    });
    request.once('error', reject);
  });
  response.catch(() => {}); // also of a request that never stood
  const writable = webWritable(request);
  request.once('error', failed);
  request.once('socket', (socket) =>
    socket.once(uri.secure ? 'secureConnect' : 'connect', () =>
      done(
        new StreamConnection(
          requestPair(writable, response, () => request.destroy()),
          formatUri(uri),
        ),
      ),
    ),
  );
  return () => request.destroy();
}

function requestOptions(uri: WebUri, tls: DialOptions['tls']): object {
  return uri.secure && tls?.kind === 'x509' ? clientContext(tls) : {};
}
