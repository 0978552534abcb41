import { refuse } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import { messagePortPair } from './adapters/message-port.ts';
import { type EitherStreamPair, type NodeDuplex, streamPairOf } from './adapters/node-stream.ts';
import { type WebSocketLike, webSocketPair } from './adapters/web-socket.ts';
import type { Connection } from './connection.ts';
import { StreamConnection } from './stream-connection.ts';

/** A MessagePort as the program's `lib`, or Node's types, know it. */
export type GivenPort = typeof globalThis extends { MessagePort: { prototype: infer Own } }
  ? Own
  : never;

/**
 * What a connection can be made of, besides URIs: a pair of streams, WHATWG's or Node's, a `Duplex`
 * of Node's, one end of a MessageChannel, a WebSocket that is open or opening.
 */
export type ConnectionLike = EitherStreamPair | NodeDuplex | GivenPort | WebSocket;

/**
 * A connection over something that the caller has.
 * @param maxWait milliseconds that a WebSocket has to open (its runtime's own limit).
 * @throws MultifdError ERR_OPTION for anything else; ERR_CONNECT for a WebSocket that does not
 *   open.
 */
export async function toConnection(
  connectionLike: ConnectionLike,
  peer = 'the caller',
  maxWait?: number,
): Promise<Connection> {
  const streams = streamPairOf(connectionLike, WAYS);
  if (streams !== undefined) return new StreamConnection(streams, peer);
  if (isWebSocket(connectionLike)) {
    // What it says may come in the same turn in which it opens.
    const pair = webSocketPair(connectionLike);
    await opened(connectionLike, peer, maxWait);
    return new StreamConnection(pair, peer);
  }
  if (typeof (connectionLike as Partial<MessagePort> | undefined)?.postMessage === 'function')
    return new StreamConnection(messagePortPair(connectionLike as MessagePort), peer);
  return refuse('a connection', connectionLike, WAYS);
}

const WAYS =
  'a pair of streams { readable, writable } that nobody else reads or writes, a Duplex of ' +
  "Node's, a MessagePort or a WebSocket";

function isWebSocket(connectionLike: unknown): connectionLike is WebSocketLike {
  return (
    typeof connectionLike === 'object' &&
    connectionLike !== null &&
    'binaryType' in connectionLike &&
    'readyState' in connectionLike
  );
}

const CONNECTING = 0;
const OPEN = 1;

/**
 * Resolves once it is open.
 * @param maxWait milliseconds after which it is given up (its runtime's own limit).
 */
export function opened(socket: WebSocketLike, peer: string, maxWait?: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new Promise<void>((resolve, reject) => {
    const refused = (why?: string): void =>
      reject(
        new MultifdError(
          'ERR_CONNECT',
          `no WebSocket with ${peer}${why ? `: ${why}` : ''}; is the other end listening, ` +
            'and the token right?',
        ),
      );
    if (socket.readyState === OPEN) return resolve();
    if (socket.readyState !== CONNECTING) return refused('it is closed');
    socket.addEventListener('open', () => resolve());
    socket.addEventListener('error', ({ message }: { message?: string }) => refused(message));
    socket.addEventListener('close', ({ reason }: { reason: string }) => refused(reason));
    if (maxWait === undefined) return;
    timer = setTimeout(() => {
      refused(`it did not open within ${maxWait / 1000} s`);
      socket.close();
    }, maxWait);
  }).finally(() => clearTimeout(timer));
}
