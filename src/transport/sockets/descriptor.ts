import type { Socket } from 'node:net';
import { concat } from '../../util/bytes.ts';
import { MultifdError } from '../../util/errors.ts';
import { features } from '../../util/runtime.ts';

/**
 * The fast way in on Node: a worker reads a connection's descriptor with readv(2), straight to
 * where the bytes belong.
 *
 * The socket stays with the thread that accepted it, which neither reads it nor closes it before
 * the worker is gone; so each descriptor has one owner and is closed once. (A second net.Socket
 * over the same descriptor would close it twice, and by then the number may be another file's.) The
 * descriptor is non-blocking: a read that would block sleeps on the arena's state word, so that an
 * end or a failure wakes it at once.
 */
export interface SocketFd {
  fd: number;
  /** Bytes that the accepting thread had read already, but not used. */
  prefix: Uint8Array;
  /** Where in the connection's stream the prefix begins. */
  offset: number;
}

/**
 * The part of a socket's handle that is used here; not documented by Node, hence looked for before
 * it is used.
 */
interface SocketHandle {
  fd?: number;
  reading?: boolean;
  readStop?: () => number;
}

/**
 * Stops this thread's reading of `socket` for good and returns its descriptor, or undefined where
 * the runtime has none to give.
 * @throws MultifdError ERR_PEER_CLOSED when the connection has been reset meanwhile.
 * @param prefix bytes read from the socket before, but not used.
 * @param offset where in the connection's stream the prefix begins.
 */
export function takeSocketFd(
  socket: Socket,
  channel: number,
  prefix: Uint8Array,
  offset: number,
): SocketFd | undefined {
  if (socket.destroyed) {
    throw new MultifdError(
      'ERR_PEER_CLOSED',
      `the connection broke: ${socket.errored?.message ?? 'it was closed'}`,
      { channel, offset, cause: socket.errored ?? undefined },
    );
  }
  const handle = handleOf(socket);
  if (handle === undefined || typeof handle.readStop !== 'function') return undefined;
  // All that the stream has: since Node 26 it gives one buffer at a time.
  const buffered: Uint8Array[] = [];
  for (let chunk: Uint8Array | null; (chunk = socket.read() as Uint8Array | null) !== null; )
    buffered.push(chunk);
  // The stream starts a handle that is not reading whenever it has room; one that it believes to be
  // reading, it leaves alone.
  handle.reading = true;
  handle.readStop();
  return { fd: handle.fd, prefix: concat([prefix, ...buffered]), offset };
}

/**
 * A connection's descriptor, for its own thread to write; undefined where the runtime has none to
 * give, or not all of what was written has left.
 */
export function writableFd(socket: Socket): number | undefined {
  return socket.writableLength === 0 ? handleOf(socket)?.fd : undefined;
}

function handleOf(socket: Socket): (SocketHandle & { fd: number }) | undefined {
  // The bytes of a TLS connection are of use to nobody but its own stream, which has its keys.
  // Bun's descriptors stay silent; Deno's are numbers of its own.
  if ('encrypted' in socket || !features().socketDescriptors || process.platform === 'win32')
    return undefined;
  const handle = (socket as Socket & { _handle?: SocketHandle | null })._handle;
  return typeof handle?.fd === 'number' && handle.fd >= 0
    ? (handle as SocketHandle & { fd: number })
    : undefined;
}
