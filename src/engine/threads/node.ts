import { constants, setPriority } from 'node:os';
import { parentPort, type Transferable, Worker } from 'node:worker_threads';
import { MultifdError } from '../../util/errors.ts';
import { atOnce } from '../../util/callbacks.ts';
import { UNREADABLE } from './thread.ts';
import type { Thread, ThreadOptions, ThreadPort, WorkerModule } from './thread.ts';

/** Threads by node:worker_threads, which Deno and Bun have too. */

/** Whether channels can be threads here. */
export function hasThreads(): boolean {
  return true;
}

export function startThread(
  module: WorkerModule,
  { name, onMessage, onError }: ThreadOptions,
): Thread {
  const worker = module instanceof URL ? startModule(module, name) : given(module);
  worker.on('message', onMessage);
  worker.on('messageerror', (cause: Error) => onError(new Error(UNREADABLE, { cause })));
  worker.on('error', onError);
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer as Transferable[]),
    gone: new Promise((resolve) => void worker.once('exit', resolve)),
    terminate: () => void worker.terminate(),
  };
}

/**
 * A worker has its process's flags. Of those that one can start with (tried on Node 20, 24 and 26),
 * only --input-type keeps it from running a file: a program given by -e or on standard input has
 * it. So there it is a text that loads the file. Flags of its own would cost the worker all others.
 */
function startModule(module: URL, name: string): Worker {
  const flags = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''];
  if (!flags.some((flag) => flag.includes('--input-type'))) return new Worker(module, { name });
  return new Worker(`import(${JSON.stringify(module.href)})`, { eval: true, name });
}

/** What a caller's own function gave. @throws MultifdError ERR_OPTION when it is no worker. */
function given(module: unknown): Worker {
  const worker: unknown =
    typeof module === 'function' ? atOnce('what was to start a worker', module()) : undefined;
  const { on, postMessage } = (worker ?? {}) as Partial<Worker>;
  if (typeof on === 'function' && typeof postMessage === 'function') return worker as Worker;
  throw new MultifdError(
    'ERR_OPTION',
    'what was to start a worker gave none: give its module as a URL, or a function that ' +
      'gives a Worker of node:worker_threads',
  );
}

/** This thread's port to the one that started it; undefined in a main thread. */
export function threadPort(): ThreadPort | undefined {
  const port = parentPort;
  if (port === null) return undefined;
  return {
    mayBlock: true,
    post: (message) => port.postMessage(message),
    onMessage: (take) => {
      port.on('message', take);
      // No caller waits here: thrown like this, it reaches the starter as the thread's own error.
      port.on('messageerror', (cause: Error) => {
        throw new Error(UNREADABLE, { cause });
      });
    },
    close: () => {
      // Deno's ports can't be closed, its threads can.
      if (typeof port.close === 'function') port.close();
      else (globalThis as unknown as { close(): void }).close();
    },
  };
}

/**
 * Lowers this thread's priority. On Linux, where each thread has a priority of its own;
 * elsewhere it would be the whole process, so nothing happens. There is no way back without
 * privileges.
 */
export function lowerThreadPriority(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(0, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It is a courtesy: a runtime that knows no priorities, or a sandbox that forbids it, goes on
    // without.
  }
}
