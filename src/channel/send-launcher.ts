import { type Launcher, inlineLauncher, workerLauncher } from '../engine/launch.ts';
import type { ChannelContext } from '../engine/program.ts';
import type { PrestartedWorkers } from '../engine/threads/prestarted.ts';
import type { WorkerModule } from '../engine/threads/thread.ts';
import { pipeBoth } from '../transport/pipe.ts';
import { connectionOfPort, type PortData, portLauncher } from './relay.ts';
import { createSendChannel, type OpenChannel, type SendChannelData } from './send.ts';
import { dialRoute, type OutgoingEndpoint, type Route } from '../transport/endpoint.ts';

/**
 * How a channel in a thread of its own gets its connection: it dials, or has a port to one in its
 * owner's thread.
 */
export type SendWorkerData = SendChannelData &
  ({ route: Route } | (PortData & { route: undefined }));

/** In the channel's thread. */
export function openOwn(data: SendWorkerData, channel: number): OpenChannel {
  return data.route !== undefined
    ? (signal) => dialRoute(data.route, channel, signal)
    : async () => connectionOfPort(data);
}

export interface SendChannels {
  launcher: Launcher;
  /**
   * Resolves when the connection of each channel stands. A channel that has only a port to its
   * connection is open before that, and what it writes waits in the port: nothing may be said to
   * have been sent until then.
   */
  connected: Promise<void>;
}

/**
 * Channels that send over `connections`.
 * @param module of their workers; undefined: they run in this thread.
 */
export function sendChannels(
  connections: OutgoingEndpoint,
  channels: number,
  module: WorkerModule | PrestartedWorkers | undefined,
): SendChannels {
  if (module === undefined) {
    const launcher = inlineLauncher((context: ChannelContext<SendChannelData>) =>
      createSendChannel(context, (signal) => connections.open(context.id, signal)),
    );
    return { launcher, connected: Promise.resolve() };
  }
  if (connections.route !== undefined)
    return { launcher: workerLauncher(module), connected: Promise.resolve() };
  let missing = channels;
  let resolve = (): void => {};
  const connected = new Promise<void>((resolved) => {
    resolve = resolved;
  });
  const launcher = portLauncher(module, async (channel, posted, signal, cut) => {
    const connection = await connections.open(channel, signal);
    if (--missing === 0) resolve();
    if (cut.aborted) return connection.destroy();
    cut.addEventListener('abort', () => connection.destroy(), { once: true });
    await pipeBoth(posted, connection);
  });
  return { launcher, connected };
}
