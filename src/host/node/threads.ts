import { constants, setPriority } from 'node:os';
import { parentPort, type Transferable, Worker } from 'node:worker_threads';
import type { Thread, ThreadOptions, ThreadPort, WorkerModule } from '../../engine/threads.ts';

/** Threads by node:worker_threads, which Deno and Bun have too. */

/** Whether channels can be threads here. */
export function hasThreads(): boolean {
  return true;
}

export function startThread(module: WorkerModule, { name, onMessage, onError }: ThreadOptions): Thread {
  const worker = module instanceof URL ? new Worker(module, { name }) : (module() as Worker);
  worker.on('message', onMessage);
  worker.on('error', onError);
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer as Transferable[]),
    gone: new Promise((resolve) => void worker.once('exit', resolve)),
    terminate: () => void worker.terminate(),
  };
}

/** This thread's port to whoever started it; undefined in a main thread. */
export function threadPort(): ThreadPort | undefined {
  const port = parentPort;
  if (port === null) return undefined;
  return {
    mayBlock: true,
    post: (message) => port.postMessage(message),
    onMessage: (take) => void port.on('message', take),
    close: () => {
      // Deno's ports can't be closed, its threads can.
      if (typeof port.close === 'function') port.close();
      else (globalThis as unknown as { close(): void }).close();
    },
  };
}

/**
 * Makes this thread give way to others. On Linux, where each thread has a priority of its own; elsewhere it would be the whole process, so nothing happens.
 * There is no way back without privileges.
 */
export function giveWay(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(0, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It is a courtesy: a runtime that knows no priorities, or a sandbox that forbids it, goes on without.
  }
}
