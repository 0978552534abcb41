import { constants, setPriority } from 'node:os';
import { parentPort, type Transferable, Worker } from 'node:worker_threads';
import { MultifdError } from '../../util/errors.ts';
import { atOnce } from '../../util/callbacks.ts';
import { canRunFiles, textWorker } from './files.ts';
import { UNREADABLE, unloaded } from './thread.ts';
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
  const worker = module instanceof URL ? startFile(module, name) : given(module);
  let loaded = false;
  worker.on('message', (message) => {
    loaded = true;
    onMessage(message);
  });
  worker.on('messageerror', (cause: Error) => onError(new Error(UNREADABLE, { cause })));
  worker.on('error', (error) => onError(!loaded && isOfLoading(error) ? unloaded(error) : error));
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer as Transferable[]),
    gone: new Promise((resolve) => void worker.once('exit', resolve)),
    terminate: () => void worker.terminate(),
  };
}

/** A file is missing, or is read as CommonJS. */
function isOfLoading(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return (
    error instanceof SyntaxError || code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND'
  );
}

function startFile(module: URL, name: string): Worker {
  return canRunFiles() ? new Worker(module, { name }) : textWorker(module, name);
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
