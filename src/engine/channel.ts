import { MultifdError } from '../util/errors.ts';
import type { Arena } from './arena.ts';
import { State } from './layout.ts';
import type {
  ChannelEvent,
  ChannelContext,
  ProgramFactory,
  ReceiveProgram,
  SendProgram,
} from './program.ts';
import type { Semaphore } from './semaphore.ts';

/** A channel at work in this thread. */
export interface RunningChannel {
  /**
   * Settles, never rejects, after the program has closed: everything that went wrong was reported
   * as an event.
   */
  readonly closed: Promise<void>;
  /** Passes the wish to stop on to the program. */
  stop(): void;
}

/** Where a channel runs. */
export type ChannelPlace = Pick<ChannelContext, 'ownThread' | 'mayBlock'>;

/**
 * Runs one channel's program in this thread, and tells the owner by `report` how it goes: `open`,
 * any number of `value`, at most one `failed`, and last `closed`. A failure here fails the whole
 * group, and wakes everyone who waits for anything.
 */
export function runChannel(
  arena: Arena,
  id: number,
  data: unknown,
  { ownThread, mayBlock }: ChannelPlace,
  factory: ProgramFactory,
  report: (event: ChannelEvent) => void,
): RunningChannel {
  const context: ChannelContext = {
    id,
    arena,
    data,
    ownThread,
    mayBlock,
    scratch: arena.layout.scratch(id),
    counters: arena.channels[id]!.counters,
    emit: (value) => report({ kind: 'value', value }),
  };
  let program: SendProgram | ReceiveProgram | undefined;

  const fail = (thrown: unknown): void => {
    // Of all channels only the first to fail reports: what follows in the others are consequences,
    // which must not arrive before their cause.
    if (arena.enter(State.FAILED))
      report({
        kind: 'failed',
        error: MultifdError.from(thrown, 'ERR_ENGINE', { channel: id }).toRecord(),
      });
  };

  const run = async (): Promise<void> => {
    try {
      program = await factory(context);
      if (arena.running()) {
        await program.open();
        report({ kind: 'open' });
        await (program.kind === 'send'
          ? sendLoop(context, program)
          : receiveLoop(context, program));
      }
    } catch (thrown) {
      fail(thrown);
    }
    try {
      await program?.close(!arena.unfailed());
    } catch (thrown) {
      fail(thrown);
    }
  };

  return {
    closed: run().then(() => report({ kind: 'closed' })),
    stop() {
      try {
        Promise.resolve<unknown>(program?.stop()).catch(fail);
      } catch (thrown) {
        fail(thrown);
      }
    },
  };
}

async function sendLoop(
  { id, arena, mayBlock, counters }: ChannelContext,
  program: SendProgram,
): Promise<void> {
  const { sem, semSync } = arena.channels[id]!;
  for (;;) {
    arena.channelsReady.post();
    const acquired = acquire(sem, arena.unfailed, mayBlock);
    // Awaited only if need be, as with `sent` below: a blocking channel with a synchronous handler
    // allocates nothing for a swap.
    if (!(typeof acquired === 'boolean' ? acquired : await acquired)) return;
    if (arena.isSet(id, 'PENDING_JOB')) {
      const slot = arena.channelSlot(id);
      const send = program.payloads.get(slot.type);
      if (send === undefined)
        throw new MultifdError(
          'ERR_ENGINE',
          `no handler for payload type ${slot.type}: register it with the channel's program`,
          { channel: id },
        );
      const sent = send(slot);
      if (sent !== undefined) await sent;
      counters[0]!++;
      slot.clear();
      // publishes the empty slot to the next client that comes by
      arena.set(id, 'PENDING_JOB', false);
    } else if (arena.isSet(id, 'PENDING_SYNC')) {
      await program.sync();
      arena.set(id, 'PENDING_SYNC', false);
      semSync.post();
    } else {
      return; // woken with nothing to do: the group is ending
    }
  }
}

async function receiveLoop(
  { id, arena, mayBlock }: ChannelContext,
  program: ReceiveProgram,
): Promise<void> {
  const { sem, semSync } = arena.channels[id]!;
  await program.run(() => {
    // publishes every page this channel has applied to the owner, and through it to the other
    // channels
    semSync.post();
    return acquire(sem, arena.running, mayBlock);
  });
  // A client that waits for this channel's next sync learns that there will be none.
  arena.set(id, 'ENDED', true);
  semSync.post();
}

function acquire(
  semaphore: Semaphore,
  alive: () => boolean,
  mayBlock: boolean,
): boolean | Promise<boolean> {
  // A program whose channels have nothing to do does not stay for them.
  return mayBlock ? semaphore.wait(alive) : semaphore.waitAsync(alive, false);
}
