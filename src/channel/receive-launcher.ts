import { descriptorOf } from '#sockets';
import { INITIAL_LENGTH } from '../core/index.ts';
import { inlineLauncher, type Launcher, workerLauncher } from '../engine/launch.ts';
import type { ChannelContext } from '../engine/program.ts';
import type { ThreadStock } from '../engine/threads/prestarted.ts';
import type { WorkerModule } from '../engine/threads/thread.ts';
import { pour } from '../transport/pipe.ts';
import { LinkInput } from '../transport/connection-input.ts';
import type { Descriptor } from '../transport/sockets/descriptor.ts';
import { type PortData, portLauncher } from './relay.ts';
import { createReceiveChannel, type ReceiveChannelData } from './receive.ts';
import type { Connection } from '../migration/incoming/connections.ts';

/**
 * How a channel in a thread of its own gets its connection: by its descriptor, or through a port to
 * its owner's thread. `rest`: what was read of it already.
 */
export type ReceiveWorkerData = ReceiveChannelData &
  ({ descriptor: Descriptor } | (PortData & { descriptor: undefined; rest: Uint8Array }));

export interface ReceiveChannels {
  launcher: Launcher;
  /** Each channel's. */
  data: readonly unknown[];
}

/** @param module of the channels' workers; undefined: they run in this thread. */
export function receiveChannels(
  connections: readonly Connection[],
  data: ReceiveChannelData,
  module: WorkerModule | ThreadStock | undefined,
): ReceiveChannels {
  if (module === undefined)
    return { launcher: inlineChannels(connections), data: connections.map(() => data) };
  const descriptors = takeDescriptors(connections);
  if (descriptors !== undefined)
    return {
      launcher: workerLauncher(module),
      data: descriptors.map((descriptor) => ({ ...data, descriptor })),
    };
  return {
    launcher: portLauncher(module, (channel, posted) => pour(connections[channel]!.link, posted)),
    data: connections.map(({ rest }) => ({
      ...data,
      descriptor: undefined,
      rest: Uint8Array.from(rest),
    })),
  };
}

/**
 * Either all connections of a migration have one or none has: nothing was taken from those before.
 */
function takeDescriptors(connections: readonly Connection[]): Descriptor[] | undefined {
  const descriptors: Descriptor[] = [];
  for (const [id, { link, rest }] of connections.entries()) {
    const descriptor = descriptorOf(link, id, rest, INITIAL_LENGTH);
    if (descriptor === undefined) return undefined;
    descriptors.push(descriptor);
  }
  return descriptors;
}

function inlineChannels(connections: readonly Connection[]): Launcher {
  return inlineLauncher((context: ChannelContext<ReceiveChannelData>) => {
    const { link, rest } = connections[context.id]!;
    return createReceiveChannel(
      context,
      (onBytes) => new LinkInput(link, context.id, rest, INITIAL_LENGTH, onBytes),
    );
  });
}
