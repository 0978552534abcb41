import { Worker } from 'node:worker_threads';
import { MultifdError } from '../errors.ts';
import { Arena } from './arena.ts';
import { runChannel } from './channel.ts';
import type { ChannelEvent, ChannelOrder, ChannelStart } from './messages.ts';
import type { ProgramFactory } from './program.ts';

/** Milliseconds that a channel may take to end once it has nothing more to do, or was asked to stop. Then it is ended. */
export const GRACE_MS = 5_000;

/** A channel as its owner sees it, wherever it runs. */
export interface LaunchedChannel {
  /** Resolves when nothing of the channel is left. */
  readonly gone: Promise<void>;
  /** Asks it to end soon. */
  stop(): void;
  /** Ends it now, whatever it does; one that can't be ended is given up, and counts as gone. */
  kill(): void;
}

/** Starts one channel. `report` gets its events; `closed` may be missing when the thread dies, `gone` resolves in any case. */
export interface Launcher {
  /** Channels run inside the owner's thread. */
  readonly inline: boolean;
  launch(start: ChannelStart, report: (event: ChannelEvent) => void): LaunchedChannel;
}

/** Channels as worker threads. The module at `url` has to call {@link serveChannel}. */
export function workerLauncher(url: URL): Launcher {
  return {
    inline: false,
    launch(start, report) {
      const worker = new Worker(url, { workerData: start, name: `multifd channel ${start.id}` });
      let closed = false;
      let lingering: NodeJS.Timeout | undefined;
      worker.on('message', (event: ChannelEvent) => {
        if (event.kind === 'closed') {
          closed = true;
          // Some handle that its program has left open may keep the thread.
          lingering = setTimeout(() => void worker.terminate(), GRACE_MS);
        }
        report(event);
      });
      const died = (why: unknown): void => report({ kind: 'failed', error: MultifdError.from(why, 'ERR_ENGINE', { channel: start.id }).toRecord() });
      worker.on('error', died);
      const gone = new Promise<void>((resolve) => {
        worker.once('exit', (status) => {
          clearTimeout(lingering);
          if (!closed) died(new MultifdError('ERR_ENGINE', `the channel's thread ended with status ${status} before its work did`, { channel: start.id }));
          resolve();
        });
      });
      return {
        gone,
        stop: () => worker.postMessage({ kind: 'stop' } satisfies ChannelOrder),
        kill: () => void worker.terminate(),
      };
    },
  };
}

/** Channels as async tasks of this thread: for runtimes without workers, and for memory that no other thread can see. */
export function inlineLauncher(factory: ProgramFactory<never>): Launcher {
  return {
    inline: true,
    launch({ arena, id, data }, report) {
      const channel = runChannel(new Arena(arena), id, data, false, factory as ProgramFactory, report);
      let kill = (): void => {};
      const killed = new Promise<void>((resolve) => {
        kill = resolve;
      });
      return { gone: Promise.race([channel.closed, killed]), stop: channel.stop, kill };
    },
  };
}
