import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Sample } from '../lib/part.ts';
import { BATCH_BYTES, BATCH_OFFSETS, clock, type EngineOrder, fillOffsets } from './order.ts';
import { roundTripSample } from './replies.ts';
import { sampleOf } from './sample.ts';

/** Buffers under way to each worker: while it looks at one, the next is there already. */
const AHEAD = 2;
const SMALL_BYTES = BATCH_OFFSETS * 8;

/** Buffers that are transferred to workers and back. */
export async function measurePostMessage(order: EngineOrder): Promise<Sample> {
  const workers = Array.from(
    { length: order.channels },
    () => new Worker(new URL('./echo-worker.js', import.meta.url)),
  );
  await Promise.all(workers.map((worker) => once(worker, 'online')));
  const bytes = order.what === 'batches' ? BATCH_BYTES : SMALL_BYTES;
  const send =
    order.what === 'round trips'
      ? roundTrips
      : order.what === 'tasks' || order.what === 'batches'
        ? stream
        : undefined;
  if (send === undefined) throw new Error(`postMessage has no ${order.what}`);
  await send(workers, Math.ceil(order.count / 5), bytes);
  const stop = clock();
  const roundTripTimes = await send(workers, order.count, bytes);
  const taken = stop();
  await Promise.all(workers.map((worker) => worker.terminate()));
  return roundTripTimes === undefined ? sampleOf(order, taken) : roundTripSample(roundTripTimes);
}

function stream(workers: readonly Worker[], count: number, bytes: number): Promise<undefined> {
  let [posted, back] = [0, 0];
  const post = (worker: Worker, buffer: ArrayBuffer): void => {
    if (posted === count) return;
    fillOffsets(new Float64Array(buffer, 0, BATCH_OFFSETS), posted++);
    worker.postMessage(buffer, [buffer]);
  };
  return new Promise((resolve) => {
    for (const worker of workers) {
      worker.removeAllListeners('message').on('message', (buffer: ArrayBuffer) => {
        if (++back === count) resolve(undefined);
        else post(worker, buffer);
      });
      for (let ahead = 0; ahead < AHEAD; ahead++) post(worker, new ArrayBuffer(bytes));
    }
  });
}

function roundTrips(
  [worker]: readonly Worker[],
  count: number,
  bytes: number,
): Promise<Float64Array> {
  const taken = new Float64Array(count);
  return new Promise((resolve) => {
    let [n, begun] = [0, 0];
    const post = (buffer: ArrayBuffer): void => {
      begun = performance.now();
      worker!.postMessage(buffer, [buffer]);
    };
    worker!.removeAllListeners('message').on('message', (buffer: ArrayBuffer) => {
      taken[n++] = performance.now() - begun;
      if (n === count) resolve(taken);
      else post(buffer);
    });
    post(new ArrayBuffer(bytes));
  });
}
