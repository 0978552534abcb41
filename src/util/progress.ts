/**
 * Snapshots of something under way, for any number of loops over them. Each gets the latest one
 * that it has not had; those that came while it was at work are passed over, so that nothing piles
 * up. It ends with the last one, also of what has ended before the loop began. To leave a loop ends
 * nothing but the loop.
 */
export class Progress<S> implements AsyncIterable<S> {
  readonly #onRead: () => void;
  #latest: S | undefined;
  #count = 0;
  #ended = false;
  #wake!: () => void;
  #changed!: Promise<void>;

  /** @param onRead called when a loop begins. */
  constructor(onRead: () => void = () => {}) {
    this.#onRead = onRead;
    this.#renew();
  }

  put(snapshot: S): void {
    this.#latest = snapshot;
    this.#count++;
    this.#tell();
  }

  /** Nothing comes after the last one. */
  end(): void {
    this.#ended = true;
    this.#tell();
  }

  /** An observer and this, as one observer. */
  beside(told: (snapshot: S) => void): (snapshot: S) => void {
    return (snapshot) => {
      told(snapshot);
      this.put(snapshot);
    };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<S, void, undefined> {
    this.#onRead();
    let seen = 0;
    for (;;) {
      while (seen === this.#count) {
        if (this.#ended) return;
        await this.#changed;
      }
      seen = this.#count;
      yield this.#latest!;
    }
  }

  #tell(): void {
    this.#wake();
    this.#renew();
  }

  #renew(): void {
    this.#changed = new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** The promise of an outcome, with what happens until then. */
export interface PromiseWithProgress<T, S = T> extends Promise<T> {
  /**
   * What `onProgress` is called with, to be iterated: each time the latest snapshot, and at last
   * the one at the end. It ends when this promise is settled, which alone says how: it does not
   * throw. To break off the iteration ends nothing else. Who iterates has to await the promise as
   * well; a rejection that he misses while he does is not reported as unhandled.
   */
  readonly progress: AsyncIterable<S>;
}

/** @param work gets what is to be told of its progress. */
export function withProgress<T, S = T>(
  work: (progress: Progress<S>) => Promise<T>,
): PromiseWithProgress<T, S> {
  const progress = new Progress<S>(() => outcome.catch(() => {}));
  const outcome = work(progress).finally(() => progress.end());
  return Object.assign(outcome, { progress });
}
