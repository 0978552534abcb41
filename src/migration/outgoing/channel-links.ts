import { type Launcher, inlineLauncher, workerLauncher } from '../../engine/launch.ts';
import type { ChannelContext } from '../../engine/program.ts';
import type { ThreadStock } from '../../engine/thread-stock.ts';
import type { WorkerModule } from '../../engine/threads.ts';
import { join } from '../../transport/join.ts';
import { linkOfPort, type PortData, portLauncher } from '../channel/port-launcher.ts';
import { createSendChannel, type OpenChannel, type SendChannelData } from '../channel/send-program.ts';
import { dialRoute, type OutgoingLinks, type Route } from '../way.ts';

/** How a channel in a thread of its own gets its connection: it dials, or has a port to one in its owner's thread. */
export type SendWorkerData = SendChannelData & ({ route: Route } | (PortData & { route: undefined }));

/** In the channel's thread. */
export function openOwn(data: SendWorkerData, channel: number): OpenChannel {
  return data.route !== undefined ? (signal) => dialRoute(data.route, channel, signal) : async () => linkOfPort(data);
}

/** Channels that send over `links`. @param module of their workers; undefined: they run in this thread. */
export function sendLauncher(links: OutgoingLinks, module: WorkerModule | ThreadStock | undefined): Launcher {
  if (module === undefined) return inlineLauncher((context: ChannelContext<SendChannelData>) => createSendChannel(context, (signal) => links.open(context.id, signal)));
  if (links.route !== undefined) return workerLauncher(module);
  return portLauncher(module, async (channel, posted, signal, cut) => {
    const link = await links.open(channel, signal);
    if (cut.aborted) return link.destroy();
    cut.addEventListener('abort', () => link.destroy(), { once: true });
    await join(posted, link);
  });
}
