import { atOnce } from '../../util/callbacks.ts';
import { givenBytes } from '../../util/checks.ts';
import type { Tracker } from './tracker.ts';

/**
 * A dirty log that the caller keeps, as of an instrumented guest or a store that works page by
 * page.
 */
export interface DirtyBitmap {
  /**
   * Which pages were written since the last call, one bit each: page p is bit p & 7 of byte p >> 3,
   * as in QEMU's bitmaps. What this call gives it clears. Pages past its end, and all if there is
   * none, were not written.
   */
  take(): Uint8Array | undefined;
}

/** The caller's dirty log, and what of it this scan has still to send. */
export class BitmapTracker implements Tracker {
  readonly #log: DirtyBitmap;
  #dirty = new Uint8Array(0);

  constructor(log: DirtyBitmap) {
    this.#log = log;
  }

  begin(): void {
    // A scan that has come to its end has sent all of the one before.
    const taken = atOnce("a dirty log's take()", this.#log.take());
    this.#dirty =
      taken === undefined
        ? new Uint8Array(0)
        : givenBytes("what a dirty log's take() gave", taken).slice();
  }

  changed(page: number, count: number, mask: Uint32Array): void {
    // Groups begin at multiples of 32 pages, so bytes of the one are bytes of the other.
    const first = page >> 3;
    for (let byte = 0; byte < Math.ceil(count / 8) && first + byte < this.#dirty.length; byte++)
      mask[byte >> 2]! |= this.#dirty[first + byte]! << (8 * (byte & 3));
    if (count % 32 !== 0) mask[count >> 5]! &= (1 << (count & 31)) - 1;
  }

  sent(page: number, pages: number): void {
    for (let p = page; p < page + pages && p >> 3 < this.#dirty.length; p++)
      this.#dirty[p >> 3]! &= ~(1 << (p & 7));
  }

  sentZero(page: number, pages: number): void {
    this.sent(page, pages);
  }
}
