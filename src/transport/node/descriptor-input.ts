import { readvSync } from 'node:fs';
import { MultifdError } from '../../errors.ts';
import type { Input } from '../input.ts';
import type { Descriptor } from './descriptor.ts';

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
