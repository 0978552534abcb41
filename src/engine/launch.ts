import { atOnce } from '../util/callbacks.ts';
import { givenArray } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import { Arena } from './arena.ts';
import { runChannel } from './channel.ts';
import type { ChannelEvent, ChannelOrder, ChannelStart, ProgramFactory } from './program.ts';
import { threadOf, type PrestartedWorkers } from './threads/prestarted.ts';
import { begin, GRACE_MS, type WorkerModule } from './threads/thread.ts';

/** A channel as its owner sees it, in a thread of its own or in this one. */
export interface LaunchedChannel {
  /** Resolves when nothing of the channel is left. */
  readonly gone: Promise<void>;
  /** Asks it to end soon. */
  stop(): void;
  /**
   * Ends it now, in the middle of its work; one that can't be ended is given up, and counts as
   * gone.
   */
  kill(): void;
}

/**
 * Starts one channel. `report` gets its events; `closed` may be missing when the thread dies,
 * `gone` resolves in any case.
 */
export interface Launcher {
  /** Channels run inside the owner's thread. */
  readonly inline: boolean;
  /** Starts the channel that `start` describes. */
  launch(start: ChannelStart, report: (event: ChannelEvent) => void): LaunchedChannel;
}

/**
 * Channels as worker threads. The module has to call {@link serveChannel}.
 * @param module its URL, or a function that starts a worker of it, or workers that are started
 *   already.
 * @param transferOf what of a channel's data is handed over to its thread, instead of copied.
 */
export function workerLauncher(
  module: WorkerModule | PrestartedWorkers,
  transferOf: (data: unknown) => readonly object[] = () => [],
): Launcher {
  return {
    inline: false,
    launch(start, report) {
      let closed = false;
      let lingering: ReturnType<typeof setTimeout> | undefined;
      const died = (why: unknown): void =>
        report({
          kind: 'failed',
          error: MultifdError.from(why, 'ERR_ENGINE', { channel: start.id }).toRecord(),
        });
      const thread = threadOf(module, {
        name: `multifd channel ${start.id}`,
        onMessage(message) {
          const event = message as ChannelEvent;
          if (event.kind === 'closed') {
            closed = true;
            // Some handle that its program has left open may keep the thread.
            lingering = setTimeout(() => thread.terminate(), GRACE_MS);
          }
          report(event);
        },
        onError: died,
      });
      const gone = thread.gone.then((status) => {
        clearTimeout(lingering);
        if (!closed)
          died(
            new MultifdError(
              'ERR_ENGINE',
              `the channel's thread ended with status ${status} before its work did`,
              { channel: start.id },
            ),
          );
      });
      begin(thread, { kind: 'start', start } satisfies ChannelOrder, () =>
        givenArray('what transferOf() gave', atOnce('transferOf()', transferOf(start.data))),
      );
      return {
        gone,
        stop: () => thread.post({ kind: 'stop' } satisfies ChannelOrder),
        kill: () => thread.terminate(),
      };
    },
  };
}

/**
 * Channels as async tasks of this thread: for runtimes without workers, and for memory that no
 * other thread can see.
 */
export function inlineLauncher(factory: ProgramFactory<never>): Launcher {
  return {
    inline: true,
    launch({ arena, id, data }, report) {
      const channel = runChannel(
        new Arena(arena),
        id,
        data,
        { ownThread: false, mayBlock: false },
        factory as ProgramFactory,
        report,
      );
      let kill = (): void => {};
      const killed = new Promise<void>((resolve) => {
        kill = resolve;
      });
      return { gone: Promise.race([channel.closed, killed]), stop: channel.stop, kill };
    },
  };
}
