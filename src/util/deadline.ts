import type { MultifdError } from './errors.ts';

/** Every wait of ours is limited: by a time, and mostly by a caller's signal. */

/** What a limited wait got after its time. */
export const LATE = Symbol('late');

/**
 * What comes of `work`, or {@link LATE} after that many milliseconds. The work goes on, and what
 * becomes of it later is nobody's business.
 */
export async function inTime<T>(work: Promise<T>, milliseconds: number): Promise<T | typeof LATE> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(resolve, milliseconds, LATE);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** How long something may take that is being opened, and what is said when that is over. */
export interface Limits {
  /** Milliseconds. */
  timeout: number;
  signal?: AbortSignal | undefined;
  late(): MultifdError;
  /** @param signal the one above, which has fired. */
  cancelled(signal: AbortSignal): MultifdError;
}

/** How an attempt ends. Only the first of its ends counts. */
export interface Attempt<T> {
  /** @returns whether it came in time: if not, it is the caller's to close. */
  done(value: T): boolean;
  failed(error: MultifdError): void;
}

/**
 * Opens something with calls back, within limits.
 * @param start begins it, and returns what cuts it short. That is called once, for any failure.
 */
export function attempt<T>(
  { timeout, signal, late, cancelled }: Limits,
  start: (ends: Attempt<T>) => () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(cancelled(signal));
    let over = false;
    let failing = false;
    let cut = (): void => {};
    const end = (): boolean => {
      if (over) return false;
      over = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      return true;
    };
    const failed = (error: MultifdError): void => {
      if (!end()) return;
      failing = true;
      cut();
      reject(error);
    };
    const abort = (): void => failed(cancelled(signal!));
    const timer = setTimeout(() => failed(late()), timeout);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      cut = start({
        done(value) {
          const came = end();
          if (came) resolve(value);
          return came;
        },
        failed,
      });
    } catch (thrown) {
      if (end()) reject(thrown);
    }
    // It may have failed before it could say how it is cut short.
    if (failing) cut();
  });
}

/**
 * The same for a promise.
 * @param open what it gives too late is handed to `discard`.
 * @param failure what its own failure is told as.
 */
export function openWithin<T>(
  limits: Limits,
  open: () => Promise<T>,
  discard: (value: T) => void,
  failure: (thrown: unknown) => MultifdError,
): Promise<T> {
  return attempt<T>(limits, ({ done, failed }) => {
    open().then(
      (value) => {
        if (!done(value)) discard(value);
      },
      (thrown: unknown) => failed(failure(thrown)),
    );
    return () => {};
  });
}
