import { type DialOptions, type Door, type DoorOptions } from '../listener.ts';
import { type WebSocketLike } from '../adapters/web-socket.ts';
import { type Link } from '../connection.ts';
import { connectSocket } from '../sockets/connect.ts';
import { type Descriptor } from '../sockets/descriptor.ts';
import { listenForSockets } from '../sockets/listen.ts';
import { SocketLink } from '../sockets/socket-connection.ts';
import { type LinkUri } from '../uri.ts';
import { type Arena } from '../../engine/arena.ts';
import { type Input } from '../input.ts';
import { DescriptorInput } from '../sockets/descriptor-input.ts';
import { DescriptorOutput } from '../sockets/descriptor-output.ts';
import { type Output } from '../output.ts';

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
export async function dial(uri: LinkUri, options: DialOptions): Promise<Link> {
  return uri.kind === 'tcp' || uri.kind === 'unix'
    ? connectSocket(uri, options)
    : (await webDial()).dialWeb(uri, options);
}

/** Listens. @throws MultifdError ERR_LISTEN. */
export async function openDoor(uri: LinkUri, options: DoorOptions): Promise<Door> {
  return uri.kind === 'tcp' || uri.kind === 'unix'
    ? listenForSockets(uri, options)
    : (await webListen()).listenForWeb(uri, options);
}

/**
 * A connection's descriptor, for a thread of its own to read; undefined where there is none to
 * give.
 * @throws MultifdError ERR_PEER_CLOSED when the connection has been reset meanwhile.
 */
export function descriptorOf(
  link: Link,
  channel: number,
  prefix: Uint8Array,
  offset: number,
): Descriptor | undefined {
  return link instanceof SocketLink ? link.takeDescriptor(channel, prefix, offset) : undefined;
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

/** Reads one. */
export function openDescriptor(
  descriptor: Descriptor,
  channel: number,
  arena: Arena,
  onBytes: (bytes: number) => void,
): Input {
  return new DescriptorInput(
    descriptor,
    channel,
    arena.running,
    (milliseconds) => arena.sleepWhileRunning(milliseconds),
    onBytes,
  );
}

/** Writes this thread's own one; undefined where it has none to use. */
export function descriptorOutput(
  link: Link,
  channel: number,
  arena: Arena,
  onBytes: (bytes: number) => void,
): Output | undefined {
  const fd = link instanceof SocketLink ? link.writableDescriptor : undefined;
  return fd === undefined
    ? undefined
    : new DescriptorOutput(
        link,
        fd,
        channel,
        arena.unfailed,
        (milliseconds) => arena.sleepWhileRunning(milliseconds),
        onBytes,
      );
}
