import type { DialOptions, Door, DoorOptions } from '../../transport/dial.ts';
import type { WebSocketLike } from '../../transport/carriers/web-socket.ts';
import type { Link } from '../../transport/link.ts';
import { connectSocket } from '../../transport/node/connect.ts';
import type { Descriptor } from '../../transport/node/descriptor.ts';
import { listenForSockets } from '../../transport/node/listen.ts';
import { SocketLink } from '../../transport/node/socket-link.ts';
import type { LinkUri } from '../../transport/uri.ts';

export { loadClientTls, loadServerTls } from '../../transport/node/tls-credentials.ts';

// What WebSockets and HTTP need takes a thread some 40 ms to load, each channel's anew: only who
// uses them waits for that.
const webDial = (): Promise<typeof import('../../transport/node/web-dial.ts')> =>
  import('../../transport/node/web-dial.ts');
const webListen = (): Promise<typeof import('../../transport/node/web-listen.ts')> =>
  import('../../transport/node/web-listen.ts');

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
