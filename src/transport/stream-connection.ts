import { totalLength } from '../util/bytes.ts';
import { bytesOfView, inWords } from '../util/checks.ts';
import { inTime } from '../util/deadline.ts';
import { MultifdError } from '../util/errors.ts';
import { type Connection, CLOSE_MS } from './connection.ts';

/** A connection as a pair of WHATWG byte streams: what every transport but a socket becomes. */
export interface StreamPair {
  readable: ReadableStream<Uint8Array>;
  writable: WritableStream<Uint8Array>;
}

/**
 * Bytes per chunk written: well below the message limits of WebSocket servers (1 MiB is the
 * smallest known).
 */
const PIECE = 1 << 18;

/**
 * A pair of streams. What is written is copied: streams hand their chunks on, and not all of them
 * take shared memory.
 */
export class StreamConnection implements Connection {
  readonly peer: string;
  readonly secure = false;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #listeners = new Set<(cause: Error) => void>();
  /** Wake the calls that wait for the stream pair to take something. */
  readonly #waiting = new Set<() => void>();
  #broken: Error | undefined;
  #destroyed = false;
  #closing: Promise<void> | undefined;
  #readEnded = false;
  #pending: Promise<Uint8Array | undefined> | undefined;

  constructor({ readable, writable }: StreamPair, peer: string) {
    this.peer = peer;
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    this.#reader.closed.catch(this.#break);
    this.#writer.closed.catch(this.#break);
    this.#writer.ready.catch(() => {}); // told by `closed`
  }

  get broken(): Error | undefined {
    return this.#broken;
  }

  get writable(): boolean {
    return !this.closed && this.#closing === undefined;
  }

  get ended(): boolean {
    return this.#readEnded;
  }

  get closed(): boolean {
    return this.#destroyed || this.#broken !== undefined;
  }

  onBroken(listener: (cause: Error) => void): () => void {
    if (this.#broken !== undefined) listener(this.#broken);
    else this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async arrives(): Promise<boolean> {
    this.#pending ??= this.#next();
    return (await this.#pending) !== undefined;
  }

  /** A call that is no longer awaited leaves its chunk to the next one. */
  read(): Promise<Uint8Array | undefined> {
    const next = this.#pending ?? this.#next();
    this.#pending = next;
    const taken = (): void => {
      if (this.#pending === next) this.#pending = undefined;
    };
    void next.then(taken);
    return next;
  }

  async #next(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.closed || this.#readEnded) return undefined;
      let result: ReadableStreamReadResult<Uint8Array>;
      try {
        result = await this.#reader.read();
      } catch (thrown) {
        this.#break(thrown);
        return undefined;
      }
      // Cancelled by us, it is done as well.
      if (result.done) this.#readEnded = !this.closed;
      else if (!ArrayBuffer.isView(result.value)) this.#break(noBytes(result.value));
      else if (result.value.byteLength > 0) return bytesOfView(result.value);
    }
  }

  async write(views: readonly Uint8Array[], onBytes: (bytes: number) => void): Promise<void> {
    let taken: Promise<void> | undefined;
    for (const piece of pieces(views)) {
      if (!this.writable) throw this.#broken ?? new Error('it was closed');
      const { length } = piece;
      await this.#writer.ready.catch(this.#break);
      taken = this.#writer.write(piece).catch(this.#break);
      onBytes(length);
    }
    // Until the transport has all of it, this thread's event loop is needed: a channel's thread
    // blocks once this has resolved.
    if (taken !== undefined) await this.#unlessClosed(taken);
    if (this.closed) throw this.#broken ?? new Error('it was closed');
  }

  end(): void {
    void this.#close();
  }

  drain(): void {
    void this.#drained();
  }

  async finish(): Promise<void> {
    await this.#close();
    await inTime(this.#drained(), CLOSE_MS);
    this.destroy();
  }

  async closeWith(message: Uint8Array): Promise<void> {
    if (!this.writable) return;
    await inTime(
      this.write([message], () => {})
        .then(() => this.#close())
        .catch(() => {}),
      CLOSE_MS,
    );
    // Closed with data unread, a transport may drop what is still in transit.
    await inTime(this.#drained(), CLOSE_MS);
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    for (const wake of this.#waiting) wake();
    this.#giveUp();
  }

  /**
   * Streams within one program hand the reason on as it is: it is said as the other end, which has
   * not cancelled anything, is to read it.
   */
  #giveUp(): void {
    const reason = new MultifdError('ERR_PEER_CLOSED', 'the other end gave the connection up');
    this.#reader.cancel(reason).catch(() => {});
    this.#writer.abort(reason).catch(() => {});
  }

  /** Flushes, then closes. Resolves once the transport has everything, or has broken. */
  async #close(): Promise<void> {
    if (this.closed) return;
    this.#closing ??= this.#writer.close().catch(this.#break);
    await this.#unlessClosed(this.#closing);
  }

  /**
   * Resolves when `work` has, or when it does not count any more: a stream that is given up still
   * waits for what its sink is at, which may never end.
   */
  #unlessClosed(work: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
      void work.then(done);
    });
  }

  async #drained(): Promise<void> {
    while ((await this.read()) !== undefined);
  }

  readonly #break = (thrown: unknown): void => {
    if (this.#destroyed || this.#broken !== undefined) return;
    const cause =
      thrown instanceof Error
        ? thrown
        : new Error(thrown === undefined ? 'it was closed' : String(thrown));
    this.#broken = cause;
    for (const wake of this.#waiting) wake();
    for (const listener of this.#listeners) listener(cause);
    this.#giveUp();
  };
}

/** What a stream of the caller's has given: text, for one whose encoding was set. */
function noBytes(chunk: unknown): MultifdError {
  const what = `a stream gave ${inWords(chunk)}`;
  return new MultifdError('ERR_OPTION', `${what}: give streams of bytes`);
}

/** Copies of what the views hold, in chunks of {@link PIECE} but for the last. */
function* pieces(views: readonly Uint8Array[]): Generator<Uint8Array<ArrayBuffer>> {
  let left = totalLength(views);
  let piece = new Uint8Array(Math.min(PIECE, left));
  let filled = 0;
  for (const view of views) {
    for (let at = 0; at < view.length; ) {
      const count = Math.min(piece.length - filled, view.length - at);
      piece.set(view.subarray(at, at + count), filled);
      at += count;
      filled += count;
      if (filled < piece.length) continue;
      left -= filled;
      yield piece;
      piece = new Uint8Array(Math.min(PIECE, left));
      filled = 0;
    }
  }
}
