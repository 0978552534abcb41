import type { Adapter, Adapters } from '../listener.ts';
import type { WebSocketLike } from '../adapters/web-socket.ts';
import type { Connection, Input, Output } from '../connection.ts';
import { connectSocket } from '../sockets/connect.ts';
import type { SocketFd } from '../sockets/descriptor.ts';
import { listenForSockets } from '../sockets/listen.ts';
import { SocketConnection } from '../sockets/socket-connection.ts';
import type { ConnectionUri, WebUri } from '../schemes.ts';
import { FdInput } from '../sockets/descriptor-input.ts';
import { FdOutput } from '../sockets/descriptor-output.ts';

export { loadClientTls, loadServerTls } from '../sockets/tls-credentials.ts';

const sockets: Adapter<Extract<ConnectionUri, { kind: 'tcp' | 'unix' }>> = {
  dial: connectSocket,
  listen: listenForSockets,
};

/**
 * What WebSockets and HTTP need takes a thread some 40 ms to load, each channel's anew: loaded
 * on first use.
 */
const web: Adapter<WebUri> = {
  dial: async (uri, options) => (await import('../sockets/web-dial.ts')).dialWeb(uri, options),
  listen: async (uri, options) =>
    (await import('../sockets/web-listen.ts')).listenForWeb(uri, options),
};

export const ADAPTERS: Adapters = { tcp: sockets, unix: sockets, ws: web, http: web };

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

/**
 * What a thread that reads or writes a descriptor asks for between two calls: an engine's arena.
 */
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
