/** Threads as the engine needs them, the same for every runtime. */
import { MultifdError } from '../../util/errors.ts';

/** A Worker object that its maker has started already: of the runtime's own class. */
export type RunningWorker = object;

/**
 * Where a thread's module is, or who starts it: bundlers and strict content policies have workers
 * of their own.
 */
export type WorkerModule = URL | (() => RunningWorker);

/**
 * Milliseconds that a channel may take to end once it has nothing more to do, or was asked to stop.
 * Then it is ended.
 */
export const GRACE_MS = 5_000;

/**
 * A message that was posted and can't be had: with memory, say, that its runtime lets no other
 * thread see.
 */
export const UNREADABLE =
  'a message between two threads could not be read: it holds something that this runtime ' +
  'does not hand to another thread';

export const NO_THREADS = 'workerd has no threads: let the channels run inline';

/**
 * A thread whose module was not found, or is not what was expected there: most often a bundler did
 * not see that it is needed.
 * @param cause undefined where the runtime tells nothing, as browsers do.
 */
export function unloaded(cause?: unknown): MultifdError {
  const why = cause instanceof Error ? ` (${cause.message})` : '';
  return new MultifdError(
    'ERR_ENGINE',
    `the worker could not be loaded${why}: where a bundler has left its file out, build it as an ` +
      'entry, or give createWorker; inline: true needs no workers; see docs/bundlers.md',
    { cause },
  );
}

/**
 * A worker of a file beside the module that starts it.
 * @throws MultifdError ERR_ENGINE where there is no such place: a bundle may be no ES module.
 */
export function workerFile<T>(start: () => T): T {
  try {
    return start();
  } catch (cause) {
    throw unloaded(cause);
  }
}

/** A thread as its starter sees it. */
export interface Thread {
  /**
   * Posts a message to it.
   * @param transfer what is not copied but handed over.
   */
  post(message: unknown, transfer?: readonly object[]): void;
  /** Resolves when nothing of it is left, with its exit status where there is one. */
  readonly gone: Promise<number>;
  /** Ends it now, in the middle of its work. */
  terminate(): void;
}

/**
 * Posts what a thread begins with; one that can't be given it is ended.
 * @throws what the runtime says of a message that can't be cloned.
 */
export function begin(
  thread: Thread,
  message: unknown,
  transfer: () => readonly object[] = () => [],
): void {
  try {
    thread.post(message, transfer());
  } catch (error) {
    thread.terminate();
    throw error;
  }
}

/** How a thread is started, and who hears of it. */
export interface ThreadOptions {
  /** For debuggers. */
  name: string;
  onMessage(message: unknown): void;
  /** It has thrown outside of all that its module catches. */
  onError(error: unknown): void;
}

/** The other end, inside the thread. */
export interface ThreadPort {
  /** Whether the thread's connections go on with what was written to them while it blocks. */
  readonly mayBlock: boolean;
  post(message: unknown): void;
  /** Takes every message from now on; what came before is kept for it. */
  onMessage(take: (message: unknown) => void): void;
  /** Nothing more is posted and taken: lets the thread end. */
  close(): void;
}
