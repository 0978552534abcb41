import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Sample } from '../lib/part.ts';
import { BATCH_OFFSETS, clock, type EngineOrder, fillOffsets } from './order.ts';
import { roundTripSample } from './replies.ts';
import { popWhole, pushWhole, type Ring, RING_MESSAGES, ringClass, TASK_NUMBERS } from './ring.ts';
import { sampleOf } from './sample.ts';

/**
 * Messages through a ring for each worker in turn. They are copied, and a batch's pages would have
 * to be as well: only its offsets go through here.
 */
export async function measureRing(order: EngineOrder): Promise<Sample> {
  const { channels, what, count } = order;
  const RingBuffer = await ringClass();
  const numbers = what === 'batches' ? BATCH_OFFSETS : TASK_NUMBERS;
  const warm = Math.ceil(count / 5 / channels) * channels;
  const all = Math.ceil(count / channels) * channels + warm;
  const storage = (): SharedArrayBuffer =>
    RingBuffer.getStorageForCapacity(RING_MESSAGES * numbers, Float64Array);
  const ends = Array.from({ length: channels }, () => {
    const [there, back] = [storage(), what === 'round trips' ? storage() : undefined];
    const worker = new Worker(new URL('./ring-worker.js', import.meta.url), {
      workerData: { there, back, messages: all / channels, numbers },
    });
    return {
      worker,
      ring: new RingBuffer(there, Float64Array),
      answers: back && new RingBuffer(back, Float64Array),
    };
  });
  await Promise.all(ends.map(({ worker }) => once(worker, 'message')));
  const done = Promise.all(ends.map(({ worker }) => once(worker, 'message')));
  const rings = ends.map(({ ring }) => ring);
  const message = new Float64Array(numbers);
  const send = (messages: number): Float64Array | undefined => {
    const { answers } = ends[0]!;
    if (answers !== undefined) return roundTrips(rings[0]!, answers, messages, message);
    for (let n = 0; n < messages; n++) {
      if (what === 'batches') fillOffsets(message, n);
      else message[0] = n;
      pushWhole(rings[n % channels]!, message);
    }
    return undefined;
  };
  send(warm);
  const stop = clock();
  const roundTripTimes = send(all - warm);
  await done;
  const taken = stop();
  return roundTripTimes === undefined ? sampleOf(order, taken) : roundTripSample(roundTripTimes);
}

function roundTrips(ring: Ring, answers: Ring, count: number, message: Float64Array): Float64Array {
  const taken = new Float64Array(count);
  for (let n = 0; n < count; n++) {
    const begun = performance.now();
    pushWhole(ring, message);
    popWhole(answers, message);
    taken[n] = performance.now() - begun;
  }
  return taken;
}
