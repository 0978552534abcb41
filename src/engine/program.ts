import type { Arena } from './arena.ts';
import type { Slot } from './slot.ts';

/** What a channel's program is told about the channel it runs in. */
export interface ChannelContext<Data = unknown> {
  readonly id: number;
  readonly arena: Arena;
  /** Whatever the owner gave for this channel when it started the group. */
  readonly data: Data;
  /** Whether the channel has a thread of its own. */
  readonly ownThread: boolean;
  /** True in a thread of its own, where blocking calls hurt nobody and no connection. */
  readonly mayBlock: boolean;
  /** Byte offset in the arena of this channel's scratch. */
  readonly scratch: number;
  /** Counter 0 packets, 1 bytes; 2 and on are the program's. Only this channel writes them. */
  readonly counters: Float64Array;
  /**
   * Hands a structured-cloneable value to the owner; values arrive in order, and all of them before
   * the channel counts as closed.
   */
  emit(value: unknown): void;
}

/**
 * Sends one payload type: prepares what is in the slot, and writes it. The slot is emptied when it
 * is done.
 */
export type PayloadHandler = (slot: Slot) => void | Promise<void>;

/** What every program has. */
interface Program {
  /** Opens the channel (connects, sends its first bytes). */
  open(): void | Promise<void>;
  /**
   * Makes whatever the program waits for end soon: the group has failed, or ends cleanly
   * (`arena.unfailed()` tells which). Called in the program's thread at any time from `open` on,
   * while `close` is under way too, and possibly twice.
   */
  stop(): void;
  /**
   * Gives everything back; called once, whatever happened before, after the last call of any but
   * `stop` has returned.
   */
  close(failed: boolean): void | Promise<void>;
}

/** A sending channel: the engine calls it, one call at a time. */
export interface SendProgram extends Program {
  readonly kind: 'send';
  /** By payload type. A type without a handler fails the engine. */
  readonly payloads: ReadonlyMap<number, PayloadHandler>;
  /** Marks on the channel that everything before is before everything after. */
  sync(): void | Promise<void>;
}

/**
 * A receiving channel: it reads until its connection or the group ends, and calls `barrier` at each
 * sync.
 */
export interface ReceiveProgram extends Program {
  readonly kind: 'receive';
  /**
   * @param barrier reports the sync to the owner and waits until it lets all channels go on;
   *   false: stop.
   */
  run(barrier: () => boolean | Promise<boolean>): Promise<void>;
}

export type ProgramFactory<Data = unknown> = (
  context: ChannelContext<Data>,
) => SendProgram | ReceiveProgram | Promise<SendProgram | ReceiveProgram>;
