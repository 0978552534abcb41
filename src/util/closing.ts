/// <reference lib="esnext.disposable" preserve="true" />

/** Browsers of before 2025 lack the symbol; what compiles `await using` for them takes this one. */
const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');

/** Something under way that can be ended at any time; for `await using` too. */
export interface Closable {
  /**
   * Ends it, if it has not ended. Resolves once everything has been let go: its listener,
   * connections, threads and files. It never rejects, and may be called again.
   */
  close(): Promise<void>;
  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param close what may be called more than once. */
export function closable(close: () => Promise<void>): Closable {
  return { close, [asyncDispose]: close };
}

/** A caller's signal, and a `close()` of what he was given: what either ends is told by one. */
export class Closing {
  readonly #callers: AbortSignal;
  readonly #own = new AbortController();

  /** It has to be released in the end. */
  constructor(callers: AbortSignal) {
    this.#callers = callers;
    if (callers.aborted) this.#follow();
    else callers.addEventListener('abort', this.#follow);
  }

  get signal(): AbortSignal {
    return this.#own.signal;
  }

  /** @param ended settles once everything has been let go. */
  closable(ended: Promise<unknown>): Closable {
    return closable(async () => {
      this.#own.abort(new DOMException('close() was called', 'AbortError'));
      await ended.catch(() => {});
    });
  }

  /** There is nothing left to end. */
  release(): void {
    this.#callers.removeEventListener('abort', this.#follow);
  }

  readonly #follow = (): void => this.#own.abort(this.#callers.reason);
}
