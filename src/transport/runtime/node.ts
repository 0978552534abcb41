import { type DialOptions, type Listener, type ListenOptions } from '../listener.ts';
import { type WebSocketLike } from '../adapters/web-socket.ts';
import type { Connection, Input, Output } from '../connection.ts';
import { connectSocket } from '../sockets/connect.ts';
import { type SocketFd } from '../sockets/descriptor.ts';
import { listenForSockets } from '../sockets/listen.ts';
import { SocketConnection } from '../sockets/socket-connection.ts';
import { type ConnectionUri } from '../uri.ts';

import { FdInput } from '../sockets/descriptor-input.ts';
import { FdOutput } from '../sockets/descriptor-output.ts';

export { loadClientTls, loadServerTls } from '../sockets/tls-credentials.ts';

// What WebSockets and HTTP need takes a thread some 40 ms to load, each channel's anew: only who
// uses them waits for that.
const webDial = (): Promise<typeof import('../sockets/web-dial.ts')> =>
  import('../sockets/web-dial.ts');
const webListen = (): Promise<typeof import('../sockets/web-listen.ts')> =>
  import('../sockets/web-listen.ts');

/**
 * One connection to whoever listens there.
 * @throws MultifdError ERR_CONNECT, ERR_AUTH, ERR_TLS, ERR_TIMEOUT or ERR_CANCELLED.
 */
export async function dial(uri: ConnectionUri, options: DialOptions): Promise<Connection> {
  return uri.kind === 'tcp' || uri.kind === 'unix'
    ? connectSocket(uri, options)
    : (await webDial()).dialWeb(uri, options);
}

/** Listens. @throws MultifdError ERR_LISTEN. */
export async function listen(uri: ConnectionUri, options: ListenOptions): Promise<Listener> {
  return uri.kind === 'tcp' || uri.kind === 'unix'
    ? listenForSockets(uri, options)
    : (await webListen()).listenForWeb(uri, options);
}

/**
 * A connection's descriptor, for a thread of its own to read; undefined where there is none to
 * give.
 * @throws MultifdError ERR_PEER_CLOSED when the connection has been reset meanwhile.
 */
export function socketFdOf(
  connection: Connection,
  channel: number,
  prefix: Uint8Array,
  offset: number,
): SocketFd | undefined {
  return connection instanceof SocketConnection
    ? connection.takeSocketFd(channel, prefix, offset)
    : undefined;
}

interface DenoUpgrade {
  upgradeWebSocket(
    request: Request,
    options: { protocol?: string | undefined },
  ): { socket: WebSocketLike; response: Response };
}

/**
 * A WebSocket of a handler's request, and the answer that makes it one. Of the runtimes here Deno
 * has that; undefined on others.
 */
export function acceptUpgrade(
  request: Request,
  protocol: string | undefined,
): { socket: WebSocketLike; response: Response } | undefined {
  const { Deno } = globalThis as { Deno?: DenoUpgrade };
  return Deno?.upgradeWebSocket(request, protocol === undefined ? {} : { protocol });
}

/** Connections by their descriptors, in threads that may block. */

/** What a thread that reads or writes a descriptor asks for between two calls: an engine's arena. */
export interface FdThread {
  /** Whether the engine works still. */
  running(): boolean;
  /** Whether it has not failed; it may have ended. */
  unfailed(): boolean;
  sleepWhileRunning(milliseconds: number): void;
}

/** Reads one. */
export function fdInput(
  descriptor: SocketFd,
  channel: number,
  thread: FdThread,
  onBytes: (bytes: number) => void,
): Input {
  return new FdInput(
    descriptor,
    channel,
    thread.running,
    (milliseconds) => thread.sleepWhileRunning(milliseconds),
    onBytes,
  );
}

/** Writes this thread's own one; undefined where it has none to use. */
export function fdOutput(
  connection: Connection,
  channel: number,
  thread: FdThread,
  onBytes: (bytes: number) => void,
): Output | undefined {
  const fd = connection instanceof SocketConnection ? connection.writableFd : undefined;
  return fd === undefined
    ? undefined
    : new FdOutput(
        connection,
        fd,
        channel,
        thread.unfailed,
        (milliseconds) => thread.sleepWhileRunning(milliseconds),
        onBytes,
      );
}
