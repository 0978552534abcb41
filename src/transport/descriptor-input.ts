import { readvSync } from 'node:fs';
import type { Socket } from 'node:net';
import { MultifdError } from '../errors.ts';
import type { Input } from './input.ts';

/**
 * The fast way in on Node: a worker reads a connection's descriptor with readv(2), straight to where the bytes belong.
 *
 * The socket stays with the thread that accepted it, which neither reads it nor closes it before the worker is gone; so each descriptor has
 * one owner and is closed once. (A second net.Socket over the same descriptor would close it twice, and by then the number may be another file's.)
 * The descriptor is non-blocking: a read that would block sleeps on the arena's state word, so that an end or a failure wakes it at once.
 */
export interface Descriptor {
  fd: number;
  /** Bytes that the accepting thread had read already, but not used. */
  prefix: Uint8Array;
  /** Where in the connection's stream the prefix begins. */
  offset: number;
}

/** The part of a socket's handle that is used here; not documented by Node, hence looked for before it is used. */
interface SocketHandle {
  fd?: number;
  reading?: boolean;
  readStop?: () => number;
}

/**
 * Stops this thread's reading of `socket` for good and returns its descriptor, or undefined where the runtime has none to give.
 * @throws MultifdError ERR_PEER_CLOSED when the connection has been reset meanwhile.
 * @param prefix bytes read from the socket before, but not used.
 * @param offset where in the connection's stream the prefix begins.
 */
export function takeDescriptor(socket: Socket, channel: number, prefix: Uint8Array, offset: number): Descriptor | undefined {
  if (socket.destroyed) {
    throw new MultifdError('ERR_PEER_CLOSED', `the connection broke: ${socket.errored?.message ?? 'it was closed'}`, { channel, offset, cause: socket.errored ?? undefined });
  }
  const handle = (socket as Socket & { _handle?: SocketHandle | null })._handle;
  // The bytes of a TLS connection are of use to nobody but its own thread, where its keys are.
  if ('encrypted' in socket) return undefined;
  if (process.versions['bun'] !== undefined || process.platform === 'win32') return undefined;
  if (typeof handle?.fd !== 'number' || handle.fd < 0 || typeof handle.readStop !== 'function') return undefined;
  const buffered = socket.read() as Uint8Array | null;
  // The stream starts a handle that is not reading whenever it has room; one that it believes to be reading, it leaves alone.
  handle.reading = true;
  handle.readStop();
  return { fd: handle.fd, prefix: Uint8Array.from(buffered === null ? prefix : Buffer.concat([prefix, buffered])), offset };
}

/** readv takes at most this many views in one call (IOV_MAX on Linux and the BSDs). */
const MAX_VIEWS = 1024;
/** First and longest sleep when there is nothing to read: a loopback peer has its next packet soon; an idle channel costs about 1 % of a processor. */
const FIRST_SLEEP_MS = 0.05;
const LONGEST_SLEEP_MS = 8;

export class DescriptorInput implements Input {
  readonly #fd: number;
  readonly #channel: number;
  readonly #alive: () => boolean;
  readonly #sleep: (milliseconds: number) => void;
  readonly #onBytes: (bytes: number) => void;
  #prefix: Uint8Array;
  #offset: number;

  /**
   * @param alive false once reading should stop.
   * @param sleep blocks for at most that many milliseconds, less when `alive` changes.
   */
  constructor({ fd, prefix, offset }: Descriptor, channel: number, alive: () => boolean, sleep: (milliseconds: number) => void, onBytes: (bytes: number) => void) {
    this.#fd = fd;
    this.#prefix = prefix;
    this.#offset = offset;
    this.#channel = channel;
    this.#alive = alive;
    this.#sleep = sleep;
    this.#onBytes = onBytes;
  }

  get offset(): number {
    return this.#offset;
  }

  /** Nothing to do: whoever stops the group changes what `alive` reads. */
  stop(): void {}

  fill(views: readonly Uint8Array[]): boolean {
    let at = 0;
    let rest = views;
    let started = false;
    while (at < rest.length) {
      const count = this.#read(rest.slice(at, at + MAX_VIEWS));
      if (count === 0) {
        if (!started || !this.#alive()) return false;
        throw new MultifdError('ERR_PEER_CLOSED', 'the peer closed the connection in the middle of a message', { channel: this.#channel, offset: this.#offset });
      }
      started = true;
      this.#offset += count;
      this.#onBytes(count);
      for (let left = count; left > 0; ) {
        const view = rest[at]!;
        if (left >= view.length) {
          left -= view.length;
          at++;
        } else {
          rest = [view.subarray(left), ...rest.slice(at + 1)];
          at = 0;
          left = 0;
        }
      }
    }
    return true;
  }

  /** At least one byte, or 0 at the end of the stream or when reading should stop. */
  #read(views: readonly Uint8Array[]): number {
    if (this.#prefix.length > 0) {
      const view = views[0]!;
      const count = Math.min(view.length, this.#prefix.length);
      view.set(this.#prefix.subarray(0, count));
      this.#prefix = this.#prefix.subarray(count);
      return count;
    }
    for (let sleep = FIRST_SLEEP_MS; this.#alive(); sleep = Math.min(2 * sleep, LONGEST_SLEEP_MS)) {
      try {
        return readvSync(this.#fd, views);
      } catch (cause) {
        const { code, message } = cause as NodeJS.ErrnoException;
        if (code !== 'EAGAIN') throw new MultifdError('ERR_PEER_CLOSED', `the connection broke: ${message}`, { channel: this.#channel, offset: this.#offset, cause });
      }
      this.#sleep(sleep);
    }
    return 0;
  }
}
