import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { MultifdError } from '../errors.ts';
import { Arena } from './arena.ts';
import { runChannel } from './channel.ts';
import type { ChannelEvent, ChannelOrder, ChannelStart } from './messages.ts';
import { giveWay } from './priority.ts';
import type { ProgramFactory } from './program.ts';

/**
 * The whole of a channel's worker module: `serveChannel(createProgram)`. To be called once, at the top of a module that the owner
 * names to {@link workerLauncher}.
 * @throws MultifdError ERR_ENGINE when this is not such a worker.
 */
export function serveChannel<Data>(factory: ProgramFactory<Data>): void {
  const port = parentPort;
  if (port === null) throw new MultifdError('ERR_ENGINE', 'serveChannel() runs in a channel worker: start it with workerLauncher()');
  const { arena, id, data, gently } = workerData as ChannelStart;
  if (gently) giveWay();
  const channel = runChannel(new Arena(arena), id, data, true, factory as ProgramFactory, (event: ChannelEvent) => port.postMessage(event));
  port.on('message', (order: ChannelOrder) => {
    if (order.kind === 'stop') channel.stop();
  });
  // With the port closed and the program's handles gone, nothing keeps the thread.
  void channel.closed.then(() => endOf(port)());
}

/** What lets this thread end: Deno's ports can't be closed, its threads can. */
export function endOf(port: MessagePort): () => void {
  return typeof port.close === 'function' ? () => port.close() : () => (globalThis as unknown as { close(): void }).close();
}
