import { Worker } from 'node:worker_threads';
import { MultifdError } from '../errors.ts';
import { Arena } from './arena.ts';
import { runChannel } from './channel.ts';
import type { ChannelEvent, ChannelOrder, ChannelStart } from './messages.ts';
import type { ProgramFactory } from './program.ts';

/** A channel as its owner sees it, wherever it runs. */
export interface LaunchedChannel {
  /** Resolves when nothing of the channel is left. */
  readonly gone: Promise<void>;
  /** Asks it to end soon. */
  stop(): void;
  /** Ends it now, whatever it does. */
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
      worker.on('message', (event: ChannelEvent) => {
        closed ||= event.kind === 'closed';
        report(event);
      });
      const died = (why: unknown): void => report({ kind: 'failed', error: MultifdError.from(why, 'ERR_ENGINE', { channel: start.id }).toRecord() });
      worker.on('error', died);
      const gone = new Promise<void>((resolve) => {
        worker.once('exit', (status) => {
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
      return { gone: channel.closed, stop: channel.stop, kill: channel.stop };
    },
  };
}
