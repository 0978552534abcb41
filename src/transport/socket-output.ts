import type { Socket } from 'node:net';
import { MultifdError } from '../errors.ts';

/** Bytes per write call: small enough that a slow peer shows progress, large enough that the call does not count. */
const PIECE = 1 << 18;

/** Writes to a connection, in order, each call resolved once the kernel has all of it: the memory may be used again then. */
export class SocketOutput {
  readonly #socket: Socket;
  readonly #channel: number | 'main';
  readonly #onBytes: (bytes: number) => void;
  #error: Error | undefined;
  #offset = 0;

  /** @param onBytes called with each piece's length as it leaves. */
  constructor(socket: Socket, channel: number | 'main', onBytes: (bytes: number) => void = () => {}) {
    this.#socket = socket;
    this.#channel = channel;
    this.#onBytes = onBytes;
    socket.on('error', (error) => {
      this.#error ??= error;
    });
  }

  /** @throws MultifdError ERR_PEER_CLOSED when the peer has gone. */
  write(views: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = this.#socket;
      const closed = (): void => reject(this.#closed());
      if (socket.destroyed || !socket.writable) return closed();
      let pieces = 0;
      let queued = false;
      socket.once('close', closed);
      const sent = (bytes: number, error: Error | null | undefined): void => {
        if (error) {
          this.#error ??= error;
          socket.off('close', closed);
          return closed();
        }
        this.#offset += bytes;
        this.#onBytes(bytes);
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

  /** Says that nothing more comes; what the peer sends can still be read. */
  end(): void {
    if (!this.#socket.destroyed) this.#socket.end();
  }

  #closed(): MultifdError {
    const why = this.#error === undefined ? '' : `: ${this.#error.message}`;
    return new MultifdError('ERR_PEER_CLOSED', `the peer closed the connection${why}`, { channel: this.#channel, offset: this.#offset, cause: this.#error });
  }
}
