import { cancelledBy, MultifdError } from '../util/errors.ts';

export interface WatchdogOptions {
  signal: AbortSignal;
  /** Milliseconds without any change of `progress` after which `fail` is called. */
  timeout: number;
  /** A number that changes whenever anything has moved; undefined while nothing is expected to. */
  progress: () => number | undefined;
  fail: (error: MultifdError) => void;
  /** Called at each look, about five times a second. */
  onLook: () => void;
}

const LOOK_MS = 200;

/** Looks after a migration from outside: cancels it, and fails it when nothing moves any more. */
export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  #seen: number | undefined;
  #since = 0;

  constructor(options: WatchdogOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', this.#cancel);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    if (options.signal.aborted) this.#cancel();
    this.#look();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#options.signal.removeEventListener('abort', this.#cancel);
  }

  readonly #cancel = (): void => this.#options.fail(cancelledBy(this.#options.signal));

  #look(): void {
    const { progress, timeout, fail, onLook } = this.#options;
    const now = performance.now();
    const seen = progress();
    if (seen === undefined || seen !== this.#seen) {
      this.#seen = seen;
      this.#since = now;
    } else if (now - this.#since >= timeout) {
      fail(
        new MultifdError(
          'ERR_TIMEOUT',
          `nothing has moved for ${timeout / 1000} s: is the peer still there? A longer ` +
            'time-out waits longer',
        ),
      );
    }
    try {
      onLook();
    } catch (thrown) {
      fail(MultifdError.from(thrown)); // thrown from a timer it would end the process
    }
  }
}
