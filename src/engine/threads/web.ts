import { atOnce } from '../../util/callbacks.ts';
import { UNREADABLE, unloaded } from './thread.ts';
import { MultifdError } from '../../util/errors.ts';
import type { Thread, ThreadOptions, ThreadPort, WorkerModule } from './thread.ts';
import type * as node from './node.ts';

/**
 * Threads by Web Workers. They have no event for their end: a thread says so itself, last of all.
 */
const GONE = 'multifd: gone';

/** The part of a worker's global scope that is used here. */
interface WorkerScope {
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent) => void) | null;
  onmessageerror: (() => void) | null;
  close(): void;
}

/**
 * Channels work in one memory with their owner: without shared memory, as in a page that is not
 * cross-origin isolated, they can't be threads.
 */
export const hasThreads: typeof node.hasThreads = () =>
  typeof Worker === 'function' && typeof SharedArrayBuffer === 'function';

export const startThread: typeof node.startThread = (
  module: WorkerModule,
  { name, onMessage, onError }: ThreadOptions,
): Thread => {
  const worker =
    module instanceof URL ? new Worker(module, { type: 'module', name }) : given(module);
  let end: (status: number) => void = () => {};
  const gone = new Promise<number>((resolve) => {
    end = resolve;
  });
  worker.onmessage = ({ data }: MessageEvent) => {
    if (data === GONE) end(0);
    else onMessage(data);
  };
  worker.onmessageerror = () => onError(new Error(UNREADABLE));
  worker.onerror = (event) => {
    event.preventDefault();
    // Nothing is told of a file that was not found, or could not be read as a module.
    onError(event.error ?? (event.message ? new Error(event.message) : unloaded()));
    worker.terminate();
    end(1);
  };
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer as Transferable[]),
    gone,
    terminate: () => {
      worker.terminate();
      end(1);
    },
  };
};

/** What a caller's own function gave. @throws MultifdError ERR_OPTION when it is no worker. */
function given(module: unknown): Worker {
  const worker: unknown =
    typeof module === 'function' ? atOnce('what was to start a worker', module()) : undefined;
  const { postMessage, terminate } = (worker ?? {}) as Partial<Worker>;
  if (typeof postMessage === 'function' && typeof terminate === 'function') return worker as Worker;
  throw new MultifdError('ERR_OPTION', 'what was to start a worker gave none: give a Worker');
}

export const threadPort: typeof node.threadPort = (): ThreadPort | undefined => {
  if (!('WorkerGlobalScope' in globalThis)) return undefined;
  const scope = globalThis as unknown as WorkerScope;
  return {
    // A worker's WebSocket sends only as long as its event loop turns: a SYNC that is left in it is
    // one that the target waits for in vain.
    mayBlock: false,
    post: (message) => scope.postMessage(message),
    onMessage: (take) => {
      scope.onmessage = ({ data }) => take(data);
      // No caller waits here: thrown like this, it reaches the starter as the thread's own error.
      scope.onmessageerror = () => {
        throw new Error(UNREADABLE);
      };
    },
    close: () => {
      scope.postMessage(GONE);
      scope.close();
    },
  };
};

/** Browsers have no priorities of threads. */
export const lowerThreadPriority: typeof node.lowerThreadPriority = () => {};
