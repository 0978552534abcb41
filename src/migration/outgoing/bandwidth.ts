import { sleep } from '../../util/timing.ts';

/** QEMU's migration rate limit works in periods of 100 ms. */
const PERIOD_MS = 100;

/** Keeps what is sent below a number of bytes per second. */
export class Bandwidth {
  readonly #bytesPerMs: number;
  readonly #signal: AbortSignal;
  #since = 0;
  #base = 0;

  /** True while the limit holds sending back: no progress is expected then. */
  waiting = false;

  /**
   * @param bytesPerSecond 0: no limit.
   * @param signal ends all waiting.
   */
  constructor(bytesPerSecond: number, signal: AbortSignal) {
    this.#signal = signal;
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  get limited(): boolean {
    return this.#bytesPerMs > 0;
  }

  /** The most bytes to hand over at once, so that a low limit does not mean long silences. */
  get portion(): number {
    return this.#bytesPerMs === 0 ? Number.POSITIVE_INFINITY : this.#bytesPerMs * PERIOD_MS;
  }

  /**
   * Waits as long as it takes for `transferred` bytes in all to be allowed; undefined when they are
   * already.
   */
  wait(transferred: number): Promise<void> | undefined {
    if (this.#bytesPerMs === 0) return undefined;
    const now = performance.now();
    const due = this.#since + (transferred - this.#base) / this.#bytesPerMs;
    if (now - due > PERIOD_MS) {
      // What was not used in former periods is gone.
      this.#since = now;
      this.#base = transferred;
    }
    return due > now ? this.#sleep(due - now) : undefined;
  }

  async #sleep(milliseconds: number): Promise<void> {
    this.waiting = true;
    await sleep(milliseconds, this.#signal);
    this.waiting = false;
  }
}
