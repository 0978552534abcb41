import { Arena } from '../engine/arena.ts';
import type { LaunchedChannel, Launcher } from '../engine/launch.ts';
import { workerLauncher } from '../engine/launch.ts';
import type { PrestartedWorkers } from '../engine/threads/prestarted.ts';
import type { WorkerModule } from '../engine/threads/thread.ts';
import { MultifdError } from '../util/errors.ts';
import { messagePortPair } from '../transport/adapters/message-port.ts';
import type { Connection } from '../transport/connection.ts';
import { StreamConnection } from '../transport/stream-connection.ts';

/** What a channel's thread gets instead of a connection that only the owner's thread can have. */
export interface PortData {
  connection: MessagePort;
}

/** In the channel's thread: the connection at the other end of the port. */
export function connectionOfPort({ connection }: PortData): Connection {
  return new StreamConnection(messagePortPair(connection), "the owner's thread");
}

/**
 * Carries bytes between a channel's connection, which this thread has, and what the channel's own
 * thread has of it; resolves when there is nothing more to carry, or either has broken.
 * @param signal fires when a connection that is not open yet is not wanted any more.
 * @param cut fires when nothing that is on its way counts any more: what the call has opened
 *   itself has to be closed then.
 */
export type Carry = (
  channel: number,
  posted: Connection,
  signal: AbortSignal,
  cut: AbortSignal,
) => Promise<void>;

/** Channels as workers, over connections that stay in this thread. */
export function portLauncher(module: WorkerModule | PrestartedWorkers, carry: Carry): Launcher {
  const workers = workerLauncher(module, (data) => [(data as PortData).connection]);
  return {
    inline: false,
    launch(start, report): LaunchedChannel {
      const { id } = start;
      const { port1, port2 } = new MessageChannel();
      const { unfailed } = new Arena(start.arena);
      const opening = new AbortController();
      const posted = new StreamConnection(messagePortPair(port1), `channel ${id}`);
      const cutting = new AbortController();
      // The other end of the connection may say nothing any more, and not close it either.
      const cut = new Promise<void>((resolve) =>
        cutting.signal.addEventListener('abort', () => resolve(), { once: true }),
      );
      const carried = carry(id, posted, opening.signal, cutting.signal).catch((thrown: unknown) => {
        posted.destroy();
        // A channel that has failed closes its connection, and says why by another way.
        if (opening.signal.aborted || !unfailed()) return;
        const error = MultifdError.from(thrown, 'ERR_CONNECT', { channel: id });
        report({ kind: 'failed', error: error.toRecord() });
      });
      const end = (): void => {
        posted.destroy();
        cutting.abort();
      };
      const channel = workers.launch(
        { ...start, data: { ...(start.data as object), connection: port2 } satisfies PortData },
        report,
      );
      return {
        // At a clean end, what the channel has written last may be on its way still.
        gone: Promise.all([channel.gone, Promise.race([carried, cut])]).then(() => {}),
        stop() {
          opening.abort();
          channel.stop();
          if (!unfailed()) end();
        },
        kill() {
          end();
          channel.kill();
        },
      };
    },
  };
}
