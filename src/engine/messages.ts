import type { ErrorRecord } from '../util/errors.ts';
import type { ArenaHandle } from './arena.ts';

/** What a worker gets to start with. */
export interface ChannelStart {
  arena: ArenaHandle;
  id: number;
  data: unknown;
  /** The thread gives way to others. */
  lowPriority: boolean;
}

/** Channel to owner. */
export type ChannelEvent =
  | { kind: 'open' }
  | { kind: 'value'; value: unknown }
  | { kind: 'failed'; error: ErrorRecord }
  | { kind: 'closed' };

/**
 * Owner to channel. The first one starts it; `stop`: make what you wait for end, or end if there is
 * nothing yet.
 */
export type ChannelOrder = { kind: 'start'; start: ChannelStart } | { kind: 'stop' };
