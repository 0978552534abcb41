// What every entry but workerd's has.
export { MultifdError } from '../util/errors.ts';
export { send } from '../migration/outgoing/index.ts';
export { receive } from '../migration/incoming/index.ts';
export {
  ConnectionQueue,
  /** @deprecated the name of {@link ConnectionQueue} before 0.2. */
  ConnectionQueue as Inbox,
} from '../transport/connection-queue.ts';
export * from './types.ts';
export * from '../live/index.ts';
export * from '../image/portable.ts';
