import { MultifdError } from '../../util/errors.ts';
import { NO_THREADS } from '../../engine/threads/thread.ts';
import type * as node from './node.ts';

export const startOwnWorker: typeof node.startOwnWorker = () => {
  throw new MultifdError('ERR_UNSUPPORTED', NO_THREADS);
};
