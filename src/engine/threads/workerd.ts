import { MultifdError } from '../../util/errors.ts';
import type * as node from './node.ts';

/** An isolate has one thread. (node:worker_threads can be imported there, but starts none.) */
export const hasThreads: typeof node.hasThreads = () => false;

export const startThread: typeof node.startThread = () => {
  throw new MultifdError('ERR_UNSUPPORTED', 'workerd has no threads: let the channels run inline');
};

export const threadPort: typeof node.threadPort = () => undefined;

export const lowerThreadPriority: typeof node.lowerThreadPriority = () => {};
