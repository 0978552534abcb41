import { MultifdError } from '../../util/errors.ts';
import { NO_THREADS } from './thread.ts';
import type * as node from './node.ts';

/** An isolate has one thread. (node:worker_threads can be imported there, but starts none.) */
export const hasThreads: typeof node.hasThreads = () => false;

export const startThread: typeof node.startThread = () => {
  throw new MultifdError('ERR_UNSUPPORTED', NO_THREADS);
};

export const threadPort: typeof node.threadPort = () => undefined;

export const lowerThreadPriority: typeof node.lowerThreadPriority = () => {};
