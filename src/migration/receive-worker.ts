import { serveChannel } from '../engine/serve.ts';
import { type Descriptor, DescriptorInput } from '../transport/descriptor-input.ts';
import { createReceiveChannel, type ReceiveChannelData } from './channel/receive-program.ts';

/** A receiving channel in a thread of its own reads its connection's descriptor. */
export interface ReceiveWorkerData extends ReceiveChannelData {
  descriptor: Descriptor;
}

serveChannel<ReceiveWorkerData>((context) => {
  const { id, arena, data } = context;
  return createReceiveChannel(context, (onBytes) => new DescriptorInput(data.descriptor, id, arena.running, (milliseconds) => arena.sleepWhileRunning(milliseconds), onBytes));
});
