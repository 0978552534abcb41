import { readvSync } from 'node:fs';
import { MultifdError } from '../../errors.ts';
import type { Input } from '../input.ts';
import type { Descriptor } from './descriptor.ts';

/** readv takes at most this many views in one call (IOV_MAX on Linux and the BSDs). */
const MAX_VIEWS = 1024;
/** First and longest sleep when there is nothing to read: a loopback peer has its next packet soon; an idle channel costs about 1 % of a processor. */
const FIRST_SLEEP_MS = 0.05;
const LONGEST_SLEEP_MS = 8;

/**
 * Bytes that are read ahead with whatever is asked for: enough for the next packet's header, so that a packet costs one call where its bytes are there, and
 * few enough that copying what turns out to be content does not count.
 */
const AHEAD = 2048;

export class DescriptorInput implements Input {
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
  constructor({ fd, prefix, offset }: Descriptor, channel: number, alive: () => boolean, sleep: (milliseconds: number) => void, onBytes: (bytes: number) => void) {
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

  /** Nothing to do: whoever stops the group changes what `alive` reads. */
  stop(): void {}

  fill(views: readonly Uint8Array[]): boolean {
    const before = this.#offset;
    let rest = this.#takeAhead(views);
    while (rest.length > 0) {
      const some = rest.slice(0, MAX_VIEWS - 1);
      const count = this.#read([...some, this.#buffer]);
      if (count === 0) {
        if (this.#offset === before || !this.#alive()) return false;
        throw new MultifdError('ERR_PEER_CLOSED', 'the peer closed the connection in the middle of a message', { channel: this.#channel, offset: this.#offset });
      }
      const wanted = some.reduce((sum, { length }) => sum + length, 0);
      this.#ahead = this.#buffer.subarray(0, Math.max(0, count - wanted));
      this.#used(Math.min(count, wanted));
      rest = behind(rest, Math.min(count, wanted));
      // With more views than one call takes, what was read ahead belongs to the next of them.
      if (this.#ahead.length > 0) rest = this.#takeAhead(rest);
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

/** What is left of the views once their first bytes are filled. */
function behind(views: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let at = 0;
  let left = bytes;
  while (at < views.length && left >= views[at]!.length) left -= views[at++]!.length;
  if (left === 0) return at === 0 ? views : views.slice(at);
  return [views[at]!.subarray(left), ...views.slice(at + 1)];
}
