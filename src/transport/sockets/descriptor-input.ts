import { readvSync } from 'node:fs';
import { totalLength, behind, isNotNow, MAX_VIEWS } from '../../util/bytes.ts';
import { MultifdError } from '../../util/errors.ts';
import type { Input } from '../connection.ts';
import type { SocketFd } from './descriptor.ts';

/**
 * First and longest sleep when there is nothing to read: a loopback peer has its next packet soon;
 * an idle channel costs about 1 % of a processor.
 */
const FIRST_SLEEP_MS = 0.1;
const LONGEST_SLEEP_MS = 8;

/**
 * Bytes that are read ahead with whatever is asked for: enough for the next packet's header, so
 * that a packet costs one call where its bytes are there, and few enough that copying what turns
 * out to be content does not count.
 */
const AHEAD = 2048;

export class FdInput implements Input {
  readonly #fd: number;
  readonly #channel: number;
  readonly #alive: () => boolean;
  readonly #sleep: (milliseconds: number) => void;
  readonly #onBytes: (bytes: number) => void;
  readonly #buffer = new Uint8Array(AHEAD);
  /** Read, and not used yet. */
  #ahead: Uint8Array;
  #offset: number;

  /**
   * @param alive false once reading should stop.
   * @param sleep blocks for at most that many milliseconds, less when `alive` changes.
   */
  constructor(
    { fd, prefix, offset }: SocketFd,
    channel: number,
    alive: () => boolean,
    sleep: (milliseconds: number) => void,
    onBytes: (bytes: number) => void,
  ) {
    this.#fd = fd;
    this.#ahead = prefix;
    this.#offset = offset;
    this.#channel = channel;
    this.#alive = alive;
    this.#sleep = sleep;
    this.#onBytes = onBytes;
  }

  get offset(): number {
    return this.#offset;
  }

  /** Nothing to do: stopping the group changes what `alive` reads. */
  stop(): void {}

  fill(views: readonly Uint8Array[]): boolean {
    const before = this.#offset;
    let rest = this.#takeAhead(views);
    while (rest.length > 0) {
      const some = rest.length < MAX_VIEWS ? rest : rest.slice(0, MAX_VIEWS - 1);
      const count = this.#read([...some, this.#buffer]);
      if (count === 0) {
        if (this.#offset === before || !this.#alive()) return false;
        throw new MultifdError(
          'ERR_PEER_CLOSED',
          'the peer closed the connection in the middle of a message',
          { channel: this.#channel, offset: this.#offset },
        );
      }
      const wanted = totalLength(some);
      const used = Math.min(count, wanted);
      this.#ahead = this.#buffer.subarray(0, count - used);
      this.#used(used);
      rest = behind(rest, used);
      // That was all there was. To ask for more at once would mostly bring an exception, and else a
      // few bytes.
      if (rest.length > 0 && used < wanted) this.#sleep(FIRST_SLEEP_MS);
      // With more views than one call takes, what was read ahead belongs to the next of them.
      rest = this.#takeAhead(rest);
    }
    return true;
  }

  /** Fills from what was read ahead. @returns what is left to fill. */
  #takeAhead(views: readonly Uint8Array[]): readonly Uint8Array[] {
    let rest = views;
    while (this.#ahead.length > 0 && rest.length > 0) {
      const count = Math.min(rest[0]!.length, this.#ahead.length);
      rest[0]!.set(this.#ahead.subarray(0, count));
      this.#ahead = this.#ahead.subarray(count);
      this.#used(count);
      rest = behind(rest, count);
    }
    return rest;
  }

  #used(bytes: number): void {
    this.#offset += bytes;
    this.#onBytes(bytes);
  }

  /** At least one byte, or 0 at the end of the stream or when reading should stop. */
  #read(views: readonly Uint8Array[]): number {
    for (let sleep = FIRST_SLEEP_MS; this.#alive(); sleep = Math.min(2 * sleep, LONGEST_SLEEP_MS)) {
      const count = this.#attempt(views);
      if (count !== undefined) return count;
      this.#sleep(sleep);
    }
    return 0;
  }

  /** @returns undefined when nothing is there yet. */
  #attempt(views: readonly Uint8Array[]): number | undefined {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0; // see isNotNow
    try {
      return readvSync(this.#fd, views);
    } catch (cause) {
      if (isNotNow(cause)) return undefined;
      throw new MultifdError(
        'ERR_PEER_CLOSED',
        `the connection broke: ${(cause as Error).message}`,
        { channel: this.#channel, offset: this.#offset, cause },
      );
    } finally {
      Error.stackTraceLimit = limit;
    }
  }
}
