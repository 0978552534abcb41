import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Engine, workerLauncher } from 'multifd/engine';
import type { Sample } from '../lib/part.ts';
import { BATCH_BYTES, clock, type EngineOrder } from './order.ts';
import { TASK } from './payload-types.ts';
import { Replies, roundTripSample } from './replies.ts';
import { sampleOf } from './sample.ts';

const CLIENT = new URL('./engine-client.js', import.meta.url);
/** Room for a batch's pages, as the migration has it where it copies them. */
const PAYLOAD_BYTES = { tasks: 64, 'round trips': 64, heap: 64, batches: BATCH_BYTES };

/** Clients in threads of their own, which block until a channel is free. */
export async function measureEngine(order: EngineOrder): Promise<Sample> {
  const { replies, engine, looks } = await openEngine(order);
  const clients = Array.from(
    { length: order.clients },
    (_, index) =>
      new Worker(CLIENT, {
        workerData: { handle: engine.client(index).handle, order, replies: replies.words.buffer },
      }),
  );
  await Promise.all(clients.map((client) => once(client, 'message')));
  const stop = clock();
  const done = Promise.all(clients.map((client) => once(client, 'message')));
  for (const client of clients) client.postMessage('go');
  const [[result]] = (await done) as [[unknown]];
  const taken = stop();
  await engine.finish();
  if (order.what === 'heap') {
    // The channel's last value is its farewell; before that it looked at its heap twice, for the
    // tasks that counted.
    looks.pop();
    return {
      'bytes by the client': perTask(result as number, order),
      'bytes by the channel': perTask(looks.at(-1)! - looks.at(-2)!, order),
    };
  }
  return order.what === 'round trips'
    ? roundTripSample(result as Float64Array)
    : sampleOf(order, taken);
}

/** A client in the owner's thread, which waits in its event loop if it has to. */
export async function measureEngineAsync(order: EngineOrder): Promise<Sample> {
  const { engine } = await openEngine(order);
  const client = engine.client(0);
  const send = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) {
      client.slot.become(TASK);
      client.slot.fields[0] = n;
      await client.sendAsync();
    }
  };
  await send(Math.ceil(order.count / 5));
  const stop = clock();
  await send(order.count);
  const taken = stop();
  await engine.finish();
  return sampleOf(order, taken);
}

/** `looks`: what the channels saw of their heaps. */
async function openEngine({
  channels,
  clients,
  what,
}: EngineOrder): Promise<{ engine: Engine; replies: Replies; looks: number[] }> {
  const replies = new Replies();
  const looks: number[] = [];
  const engine = new Engine({
    launcher: workerLauncher(new URL('./engine-channel.js', import.meta.url)),
    channels: new Array(channels).fill({ replies: replies.words.buffer }),
    clients,
    payloadBytes: PAYLOAD_BYTES[what],
    onValue: (_, value) => void looks.push(value as number),
  });
  await engine.start();
  return { engine, replies, looks };
}

function perTask(bytes: number, { count }: EngineOrder): number {
  return bytes / count;
}
