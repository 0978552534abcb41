import type { Socket } from 'node:net';
import { MultifdError } from '../errors.ts';
import type { Input } from './input.ts';

/** Reads a connection through its stream: works wherever node:net does, at the price of one copy. */
export class SocketInput implements Input {
  readonly #socket: Socket;
  readonly #channel: number | 'main';
  readonly #onBytes: (bytes: number) => void;
  #chunk: Uint8Array;
  #offset: number;
  #stopped = false;
  #ended: boolean;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  /**
   * @param prefix bytes of the connection that were read before, but not used.
   * @param offset where in the connection's stream the prefix begins.
   */
  constructor(socket: Socket, channel: number | 'main', prefix: Uint8Array, offset: number, onBytes: (bytes: number) => void = () => {}) {
    this.#socket = socket;
    this.#channel = channel;
    this.#onBytes = onBytes;
    this.#chunk = prefix;
    this.#offset = offset;
    // A connection that was reset before has emitted its events before.
    this.#ended = socket.destroyed;
    this.#error = socket.errored ?? undefined;
    const wake = (): void => this.#wake?.();
    socket.on('readable', wake);
    socket.on('end', () => {
      this.#ended = true;
      wake();
    });
    socket.on('close', () => {
      this.#ended = true;
      wake();
    });
    socket.on('error', (error) => {
      this.#error ??= error;
      wake();
    });
  }

  get offset(): number {
    return this.#offset;
  }

  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  async fill(views: readonly Uint8Array[]): Promise<boolean> {
    let started = false;
    for (const view of views) {
      for (let at = 0; at < view.length; ) {
        const count = await this.read(at === 0 ? view : view.subarray(at));
        if (count === 0) {
          if (!started && this.#error === undefined) return false;
          if (this.#stopped) return false;
          throw this.#closed();
        }
        started = true;
        at += count;
      }
    }
    return true;
  }

  /** At least one byte into `into`, or 0 at the end. As a source for a byte reader. */
  async read(into: Uint8Array): Promise<number> {
    while (this.#chunk.length === 0) {
      if (this.#stopped) return 0;
      const chunk = this.#socket.read() as Uint8Array | null;
      if (chunk !== null) this.#chunk = chunk;
      else if (this.#ended || this.#error !== undefined || this.#socket.readableEnded) return 0;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
    const count = Math.min(into.length, this.#chunk.length);
    into.set(this.#chunk.subarray(0, count));
    this.#chunk = this.#chunk.subarray(count);
    this.#offset += count;
    this.#onBytes(count);
    return count;
  }

  #closed(): MultifdError {
    const why = this.#error === undefined ? '' : `: ${this.#error.message}`;
    return new MultifdError('ERR_PEER_CLOSED', `the peer closed the connection in the middle of a message${why}`, { channel: this.#channel, offset: this.#offset, cause: this.#error });
  }
}
