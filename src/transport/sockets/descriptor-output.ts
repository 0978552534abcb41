import { writevSync } from 'node:fs';
import { MultifdError } from '../../util/errors.ts';
import type { Connection, Output } from '../connection.ts';
import { behind, isNotNow, MAX_VIEWS } from '../../util/bytes.ts';

/**
 * First and longest sleep while the kernel takes nothing: some hundred KiB leave its buffer in the
 * shortest, of the megabytes that it has.
 */
const FIRST_SLEEP_MS = 0.1;
const LONGEST_SLEEP_MS = 8;

/**
 * The fast way out on Node: a channel's thread writes its own socket's descriptor with writev(2),
 * past the socket's stream, whose callbacks and promises for each packet cost as much as the call.
 * Nothing else writes to the socket, and the thread that writes is the one that closes it, so the
 * descriptor can't become another file's meanwhile. It is non-blocking: a write that would block
 * sleeps on the arena's state word, so that a failure ends it at once.
 */
export class FdOutput implements Output {
  readonly gathers = true;
  readonly #connection: Connection;
  readonly #fd: number;
  readonly #channel: number;
  readonly #alive: () => boolean;
  readonly #sleep: (milliseconds: number) => void;
  readonly #onBytes: (bytes: number) => void;
  #offset = 0;

  /**
   * @param connection the one that the descriptor is of.
   * @param alive false once writing should stop.
   * @param sleep blocks for at most that many milliseconds, less when `alive` changes.
   */
  constructor(
    connection: Connection,
    fd: number,
    channel: number,
    alive: () => boolean,
    sleep: (milliseconds: number) => void,
    onBytes: (bytes: number) => void,
  ) {
    this.#connection = connection;
    this.#fd = fd;
    this.#channel = channel;
    this.#alive = alive;
    this.#sleep = sleep;
    this.#onBytes = onBytes;
  }

  write(views: readonly Uint8Array[]): void {
    // Asked once: what closes it is in this thread, and has no turn before this returns.
    if (!this.#connection.writable) throw this.#closed(this.#connection.broken);
    let sleep = FIRST_SLEEP_MS;
    for (let rest = views; rest.length > 0; ) {
      const count = this.#attempt(rest);
      this.#offset += count;
      if (count > 0) this.#onBytes(count);
      rest = behind(rest, count);
      if (rest.length === 0) return;
      if (!this.#alive())
        throw new MultifdError('ERR_CANCELLED', 'the migration has ended', {
          channel: this.#channel,
          offset: this.#offset,
        });
      // What was not taken means that the kernel's buffer is full.
      sleep = count > 0 ? FIRST_SLEEP_MS : Math.min(2 * sleep, LONGEST_SLEEP_MS);
      this.#sleep(sleep);
    }
  }

  /** @returns how many bytes the kernel has taken. */
  #attempt(views: readonly Uint8Array[]): number {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0; // see isNotNow
    try {
      return writevSync(
        this.#fd,
        (views.length > MAX_VIEWS ? views.slice(0, MAX_VIEWS) : views) as Uint8Array[],
      );
    } catch (cause) {
      if (isNotNow(cause)) return 0;
      throw this.#closed(cause as Error);
    } finally {
      Error.stackTraceLimit = limit;
    }
  }

  #closed(cause: Error | undefined): MultifdError {
    const why = cause === undefined ? '' : `: ${cause.message}`;
    return new MultifdError('ERR_PEER_CLOSED', `the peer closed the connection${why}`, {
      channel: this.#channel,
      offset: this.#offset,
      cause,
    });
  }
}
