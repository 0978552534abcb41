import { Arena, type ArenaHandle } from './arena.ts';
import type { Slot } from './slot.ts';
import { lowerThreadPriority, threadPort } from '#threads';
import { MultifdError, type ErrorRecord } from '../util/errors.ts';
import { runChannel, type RunningChannel } from './channel.ts';

/** What a channel's program is told about the channel it runs in. */
export interface ChannelContext<Data = unknown> {
  /** From 0 on. */
  readonly id: number;
  /** This thread's view of the engine's memory. */
  readonly arena: Arena;
  /** What the owner gave for this channel when it started the group. */
  readonly data: Data;
  /** Whether the channel has a thread of its own. */
  readonly ownThread: boolean;
  /** True in a thread of its own, where blocking calls delay no other work and no connection. */
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
   * Makes what the program waits for end soon: the group has failed, or ends cleanly
   * (`arena.unfailed()` tells which). Called in the program's thread at any time from `open` on,
   * while `close` is under way too, and possibly twice.
   */
  stop(): void;
  /**
   * Gives everything back; called once in every case, after the last call of any but
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
   * Reads to the end.
   * @param barrier reports the sync to the owner and waits until it lets all channels go on;
   *   false: stop.
   */
  run(barrier: () => boolean | Promise<boolean>): Promise<void>;
}

/** Makes the program of one channel, in the channel's thread. */
export type ProgramFactory<Data = unknown> = (
  context: ChannelContext<Data>,
) => SendProgram | ReceiveProgram | Promise<SendProgram | ReceiveProgram>;

/**
 * The whole of a channel's worker module: `serveChannel(createProgram)`. To be called once, at the
 * top of a module that the owner names to {@link workerLauncher}.
 * @throws MultifdError ERR_ENGINE when this is not such a worker.
 */
export function serveChannel<Data>(factory: ProgramFactory<Data>): void {
  const port = threadPort();
  if (port === undefined)
    throw new MultifdError(
      'ERR_ENGINE',
      'serveChannel() runs in a channel worker: start it with workerLauncher()',
    );
  let channel: RunningChannel | undefined;
  port.onMessage((message) => {
    const order = message as ChannelOrder;
    if (order.kind === 'stop') return channel === undefined ? port.close() : channel.stop();
    const { arena, id, data, lowPriority } = order.start;
    if (lowPriority) lowerThreadPriority();
    channel = runChannel(
      new Arena(arena),
      id,
      data,
      { ownThread: true, mayBlock: port.mayBlock },
      factory as ProgramFactory,
      (event) => port.post(event),
    );
    // With the port closed and the program's handles gone, nothing keeps the thread.
    void channel.closed.then(() => port.close());
  });
}

/** What a worker gets to start with. */
export interface ChannelStart {
  arena: ArenaHandle;
  id: number;
  data: unknown;
  /** The thread runs at a lower priority. */
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
