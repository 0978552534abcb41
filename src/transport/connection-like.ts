import { refuse } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import { messagePortPair } from './adapters/message-port.ts';
import { type WebSocketLike, webSocketPair } from './adapters/web-socket.ts';
import type { Link } from './connection.ts';
import { StreamLink, type StreamPair } from './stream-connection.ts';

/**
 * What a connection can be made of, besides URIs: a pair of streams, one end of a MessageChannel, a
 * WebSocket that is open or opening.
 */
export type Connectable = StreamPair | MessagePort | WebSocket;

/**
 * A connection over something that the caller has.
 * @param maxWait milliseconds that a WebSocket has to open (its runtime's own limit).
 * @throws MultifdError ERR_OPTION for anything else; ERR_CONNECT for a WebSocket that does not
 *   open.
 */
export async function linkOf(
  connectable: Connectable,
  peer = 'the caller',
  maxWait?: number,
): Promise<Link> {
  if (isPair(connectable)) return new StreamLink(unlocked(connectable), peer);
  if (isWebSocket(connectable)) {
    // What it says may come in the same turn in which it opens.
    const pair = webSocketPair(connectable);
    await opened(connectable, peer, maxWait);
    return new StreamLink(pair, peer);
  }
  if (typeof (connectable as Partial<MessagePort> | undefined)?.postMessage === 'function')
    return new StreamLink(messagePortPair(connectable as MessagePort), peer);
  return refuse('a connection', connectable, WAYS);
}

const WAYS =
  'a pair of streams { readable, writable } that nobody else reads or writes, a MessagePort ' +
  'or a WebSocket';

function unlocked(pair: StreamPair): StreamPair {
  const { readable, writable } = pair as Partial<StreamPair>;
  const free =
    typeof readable?.getReader === 'function' &&
    typeof writable?.getWriter === 'function' &&
    !readable.locked &&
    !writable.locked;
  return free ? pair : refuse('a connection', pair, WAYS);
}

function isPair(connectable: Connectable): connectable is StreamPair {
  return (
    typeof connectable === 'object' &&
    connectable !== null &&
    'readable' in connectable &&
    'writable' in connectable
  );
}

function isWebSocket(connectable: unknown): connectable is WebSocketLike {
  return (
    typeof connectable === 'object' &&
    connectable !== null &&
    'binaryType' in connectable &&
    'readyState' in connectable
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
