/** Turns and pauses of the event loop, by what every runtime has. */

/** How long a turn may be waited for where only timers give one. */
const SOON_MS = 0;

/** Lets everything else that is due run once. */
export function turn(): Promise<void> {
  if (typeof setImmediate === 'function')
    return new Promise((resolve) => void setImmediate(resolve));
  if (typeof MessageChannel !== 'function') return sleep(SOON_MS);
  // Browsers hold timers back for some milliseconds once they follow each other; messages they
  // don't.
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

/** Resolves after that many milliseconds, or once the signal fires. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const wake = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, milliseconds);
    signal?.addEventListener('abort', wake);
  });
}

/** Longer than any program runs between two ticks that nobody needs; timers hold no more. */
const SELDOM_MS = 2 ** 31 - 1;

/**
 * Awaits `work`, and keeps the program there meanwhile: a promise of Atomics.waitAsync alone does
 * not keep Deno's (2.9) and, at the top level, Node's event loop.
 */
export async function staying<T>(work: Promise<T>): Promise<T> {
  const stay = setInterval(() => {}, SELDOM_MS);
  try {
    return await work;
  } finally {
    clearInterval(stay);
  }
}

/**
 * The part of the time, 0 to 1, that this thread was busy, since a reading of it; 1 where the
 * runtime does not tell.
 */
export class IdleMeter {
  readonly #before = utilization();

  get busy(): number {
    return this.#before === undefined ? 1 : (utilization(this.#before)?.utilization ?? 1);
  }
}

interface Utilization {
  utilization: number;
}

function utilization(before?: Utilization): Utilization | undefined {
  const { eventLoopUtilization } = performance as Performance & {
    eventLoopUtilization?: (before?: Utilization) => Utilization;
  };
  return eventLoopUtilization?.call(performance, before);
}
