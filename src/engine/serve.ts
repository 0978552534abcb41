import { lowerThreadPriority, threadPort } from '#threads';
import { MultifdError } from '../util/errors.ts';
import { Arena } from './arena.ts';
import { runChannel, type RunningChannel } from './channel.ts';
import type { ChannelOrder } from './messages.ts';
import type { ProgramFactory } from './program.ts';

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
