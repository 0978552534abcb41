import { startThread } from '#threads';
import type { ChannelOrder } from '../program.ts';
import { GRACE_MS, type RunningWorker, type Thread, type ThreadOptions } from './thread.ts';

/** A thread without an owner yet: its messages and errors wait for the one that takes it. */
interface Waiting {
  readonly thread: Thread;
  readonly heard: unknown[];
  readonly errors: unknown[];
  owner: ThreadOptions | undefined;
}

/**
 * Threads that are started before there is work for them, while something else is waited for. They
 * take some ten milliseconds to start.
 */
export class PrestartedWorkers {
  readonly #module: URL | (() => RunningWorker);
  readonly #waiting: Waiting[] = [];

  constructor(module: URL | (() => RunningWorker), count: number, name: string) {
    this.#module = module;
    try {
      for (let n = 0; n < count; n++) this.#waiting.push(this.#start(name));
    } catch {
      // Who takes one that is not there has it started anew, and is told then why it can't be.
    }
  }

  /** One of them, or a new one when there is none left. */
  take(options: ThreadOptions): Thread {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return startThread(this.#module, options);
    waiting.owner = options;
    for (const message of waiting.heard) options.onMessage(message);
    for (const error of waiting.errors) options.onError(error);
    return waiting.thread;
  }

  /**
   * Lets those end that were not taken, and resolves when nothing of them is left. They are
   * asked, and not just ended: on Node a thread that is ended while it loads its modules leaves the
   * files open that it reads.
   */
  async close(): Promise<void> {
    const unwanted = this.#waiting.splice(0).map(({ thread }) => thread);
    if (unwanted.length === 0) return;
    for (const thread of unwanted) thread.post({ kind: 'stop' } satisfies ChannelOrder);
    const overdue = setTimeout(() => {
      for (const thread of unwanted) thread.terminate();
    }, GRACE_MS);
    await Promise.all(unwanted.map(({ gone }) => gone));
    clearTimeout(overdue);
  }

  #start(name: string): Waiting {
    const heard: unknown[] = [];
    const errors: unknown[] = [];
    const thread = startThread(this.#module, {
      name,
      onMessage(message) {
        if (waiting.owner === undefined) heard.push(message);
        else waiting.owner.onMessage(message);
      },
      onError(error) {
        if (waiting.owner === undefined) errors.push(error);
        else waiting.owner.onError(error);
      },
    });
    const waiting: Waiting = { thread, heard, errors, owner: undefined };
    return waiting;
  }
}

/** Starts a thread, or takes one that has been started. */
export function threadOf(
  module: URL | (() => RunningWorker) | PrestartedWorkers,
  options: ThreadOptions,
): Thread {
  return module instanceof PrestartedWorkers ? module.take(options) : startThread(module, options);
}
