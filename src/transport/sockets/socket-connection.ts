import type { Socket } from 'node:net';
import { MultifdError } from '../../util/errors.ts';
import { CLOSE_MS, type Connection } from '../connection.ts';
import { type SocketFd, takeSocketFd, writableFd } from './descriptor.ts';
import { explainTls, isTlsRefusal } from './tls.ts';

/**
 * Bytes per write call: small enough that a slow peer shows progress, large enough that the call
 * does not count.
 */
const PIECE = 1 << 18;

/** A TCP or Unix socket, or TLS on one. */
export class SocketConnection implements Connection {
  readonly peer: string;
  readonly secure: boolean;
  readonly #socket: Socket;
  readonly #isUnix: boolean;
  #listening = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#isUnix = socket.remoteAddress === undefined;
    this.peer = socket.remoteAddress ?? 'a local process';
    this.secure = 'encrypted' in socket;
    // Without a listener, a reset between two of our calls would end the process. The next read or
    // write fails.
    socket.on('error', () => {});
  }

  get broken(): Error | undefined {
    const { errored } = this.#socket;
    if (errored == null) return undefined;
    // With TLS 1.3 a source learns only after the handshake what the target thinks of its
    // certificate.
    return isTlsRefusal(errored)
      ? new MultifdError('ERR_TLS', `the target refuses us: ${explainTls(errored)}`, {
          cause: errored,
        })
      : errored;
  }

  get writable(): boolean {
    return !this.#socket.destroyed && this.#socket.writable;
  }

  get closed(): boolean {
    return this.#socket.destroyed;
  }

  get ended(): boolean {
    return this.#socket.readableEnded;
  }

  onBroken(listener: (cause: Error) => void): () => void {
    const { errored } = this.#socket;
    if (errored) listener(errored);
    else this.#socket.once('error', listener);
    return () => void this.#socket.off('error', listener);
  }

  async arrives(): Promise<boolean> {
    this.#listen();
    while (this.#socket.readableLength === 0) {
      if (this.#over()) return false;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#socket.read(0); // an end with nothing before it is reported on a read only
    }
    return true;
  }

  read(): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    const chunk = this.#socket.read() as Uint8Array | null;
    if (chunk !== null) return chunk;
    return this.#over() ? undefined : this.#next();
  }

  async #next(): Promise<Uint8Array | undefined> {
    this.#listen();
    for (;;) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const chunk = this.#socket.read() as Uint8Array | null;
      if (chunk !== null) return chunk;
      if (this.#over()) return undefined;
    }
  }

  #over(): boolean {
    const { destroyed, errored, readableEnded } = this.#socket;
    return destroyed || errored != null || readableEnded;
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    for (const event of ['readable', 'end', 'close', 'error']) this.#socket.on(event, this.#look);
  }

  readonly #look = (): void => this.#wake?.();

  /**
   * Gives the connection to a thread that reads its descriptor: nothing is read here any more.
   * @returns undefined where the runtime has none to give.
   */
  takeSocketFd(channel: number, prefix: Uint8Array, offset: number): SocketFd | undefined {
    if (this.#listening)
      for (const event of ['readable', 'end', 'close', 'error'])
        this.#socket.off(event, this.#look);
    this.#listening = false;
    return takeSocketFd(this.#socket, channel, prefix, offset);
  }

  /**
   * The descriptor, for this thread to write past the stream; undefined where there is none to use.
   */
  get writableFd(): number | undefined {
    return writableFd(this.#socket);
  }

  write(views: readonly Uint8Array[], onBytes: (bytes: number) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = this.#socket;
      const closed = (): void => reject(this.broken ?? new Error('it was closed'));
      if (!this.writable) return closed();
      let pieces = 0;
      let queued = false;
      let failure: Error | undefined;
      socket.once('close', closed);
      const sent = (bytes: number, error: Error | null | undefined): void => {
        if (error) {
          failure ??= error;
          socket.off('close', closed);
          return reject(this.broken ?? failure);
        }
        onBytes(bytes);
        if (--pieces > 0 || !queued) return;
        socket.off('close', closed);
        resolve();
      };
      socket.cork(); // one system call for the header and the runs behind it
      for (const view of views) {
        for (let at = 0; at < view.length; at += PIECE) {
          const piece = view.subarray(at, at + PIECE);
          pieces++;
          socket.write(piece, (error) => sent(piece.length, error));
        }
      }
      queued = true;
      socket.uncork();
      if (pieces === 0) {
        socket.off('close', closed);
        resolve();
      }
    });
  }

  end(): void {
    if (!this.#socket.destroyed) this.#socket.end();
  }

  drain(): void {
    this.#socket.removeAllListeners('readable').resume();
  }

  finish(): Promise<void> {
    const socket = this.#socket;
    // A target that has everything may have closed first; such a socket says so no second time.
    if (socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      if (!this.secure) return void socket.end(() => socket.destroy());
      // What a TLS target says on its own account (session tickets) is read, to nowhere: closed
      // with bytes unread, the connection would be reset, and what is still on its way to the
      // target lost.
      timer = setTimeout(() => socket.destroy(), CLOSE_MS);
      socket.resume().end();
    });
  }

  async closeWith(message: Uint8Array, failed: boolean): Promise<void> {
    const socket = this.#socket;
    if (!socket.writable) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_MS);
      const left = (): void => {
        clearTimeout(timer);
        resolve();
      };
      socket.once('close', left);
      // The end of a TLS source's stream is a record like others, and to be read before the
      // connection is closed (see below).
      const waitsForEnd = failed || (this.secure && !socket.readableEnded);
      if (!failed) socket.once('end', left);
      const ended = waitsForEnd ? undefined : left;
      // An empty write shows a TCP connection that has been reset. A Unix socket fails it as well
      // where the other end has read all and closed.
      if (message.length > 0 || !this.#isUnix) socket.end(message, ended);
      else socket.end(ended);
      // A connection that is closed with bytes unread is reset, and the message can be lost over
      // that. So a source that is in the middle of its stream is read on, to nowhere, until it has
      // heard and hung up.
      if (waitsForEnd) this.drain();
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
