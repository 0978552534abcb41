import { socketFdOf } from '#sockets';
import { INITIAL_LENGTH } from '../core/index.ts';
import { inlineLauncher, type Launcher, workerLauncher } from '../engine/launch.ts';
import type { ChannelContext } from '../engine/program.ts';
import type { PrestartedWorkers } from '../engine/threads/prestarted.ts';
import type { WorkerModule } from '../engine/threads/thread.ts';
import { pipe } from '../transport/pipe.ts';
import { ConnectionInput } from '../transport/connection-io.ts';
import type { SocketFd } from '../transport/sockets/descriptor.ts';
import { type PortData, portLauncher } from './relay.ts';
import { createReceiveChannel, type ReceiveChannelData } from './receive.ts';
import type { Connection } from '../transport/connection.ts';

/** A connection that has said what it is, and what was read of it beyond that. */
export interface IdentifiedConnection {
  connection: Connection;
  rest: Uint8Array;
}

/**
 * How a channel in a thread of its own gets its connection: by its descriptor, or through a port to
 * its owner's thread. `rest`: what was read of it already.
 */
export type ReceiveWorkerData = ReceiveChannelData &
  ({ descriptor: SocketFd } | (PortData & { descriptor: undefined; rest: Uint8Array }));

export interface ReceiveChannels {
  launcher: Launcher;
  /** Each channel's. */
  data: readonly unknown[];
}

/** @param module of the channels' workers; undefined: they run in this thread. */
export function receiveChannels(
  connections: readonly IdentifiedConnection[],
  data: ReceiveChannelData,
  module: WorkerModule | PrestartedWorkers | undefined,
): ReceiveChannels {
  if (module === undefined)
    return { launcher: inlineChannels(connections), data: connections.map(() => data) };
  const descriptors = takeSocketFds(connections);
  if (descriptors !== undefined)
    return {
      launcher: workerLauncher(module),
      data: descriptors.map((descriptor) => ({ ...data, descriptor })),
    };
  return {
    launcher: portLauncher(module, (channel, posted) =>
      pipe(connections[channel]!.connection, posted),
    ),
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
function takeSocketFds(connections: readonly IdentifiedConnection[]): SocketFd[] | undefined {
  const descriptors: SocketFd[] = [];
  for (const [id, { connection, rest }] of connections.entries()) {
    const descriptor = socketFdOf(connection, id, rest, INITIAL_LENGTH);
    if (descriptor === undefined) return undefined;
    descriptors.push(descriptor);
  }
  return descriptors;
}

function inlineChannels(connections: readonly IdentifiedConnection[]): Launcher {
  return inlineLauncher((context: ChannelContext<ReceiveChannelData>) => {
    const { connection, rest } = connections[context.id]!;
    return createReceiveChannel(
      context,
      (onBytes) => new ConnectionInput(connection, context.id, rest, INITIAL_LENGTH, onBytes),
    );
  });
}
