/**
 * The migration level at the edge (workerd). What a worker needs when it starts is small: the two
 * ends of a migration are loaded when they are first used. Live migration is `multifd/live`, images
 * are `multifd/image`.
 */
import type * as incoming from '../migration/incoming/index.ts';
import type * as outgoing from '../migration/outgoing/index.ts';

import { withProgress } from '../util/progress.ts';

export { MultifdError } from '../util/errors.ts';
export {
  ConnectionQueue,
  /** @deprecated the name of {@link ConnectionQueue} before 0.2. */
  ConnectionQueue as Inbox,
} from '../transport/connection-queue.ts';
export * from './types.ts';

/** See {@link outgoing.send}. */
export const send: typeof outgoing.send = (options) =>
  withProgress(async (progress) =>
    (await import('../migration/outgoing/index.ts')).sendTelling(options, progress),
  );

/** See {@link incoming.receive}. */
export const receive: typeof incoming.receive = async (options) =>
  (await import('../migration/incoming/index.ts')).receive(options);
