import { MultifdError } from '../util/errors.ts';

/** The first of the errors of several tasks: the one that counts. */
export class FirstError {
  readonly #controller = new AbortController();
  #error: MultifdError | undefined;

  get error(): MultifdError | undefined {
    return this.#error;
  }

  /** Aborted with the first error. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  readonly fail = (thrown: unknown): void => {
    if (this.#error !== undefined) return;
    this.#error = MultifdError.from(thrown);
    this.#controller.abort(this.#error);
  };

  /**
   * What `work` gives; rejects with the first error as soon as there is one, whether `work` has
   * ended or not.
   */
  async race<T>(work: Promise<T>): Promise<T> {
    let onAbort: (() => void) | undefined;
    const failure = new Promise<never>((_, reject) => {
      onAbort = () => reject(this.#error!);
      this.signal.addEventListener('abort', onAbort, { once: true });
      if (this.#error !== undefined) reject(this.#error);
    });
    try {
      return await Promise.race([work, failure]);
    } catch (thrown) {
      this.fail(thrown);
      throw this.#error;
    } finally {
      this.signal.removeEventListener('abort', onAbort!);
    }
  }
}
