import type { Sample } from '../lib/part.ts';
import { packageUrl } from '../lib/tools.ts';
import { BATCH_BYTES, BATCH_OFFSETS, clock, type EngineOrder, fillOffsets } from './order.ts';
import { roundTripSample } from './replies.ts';
import { sampleOf } from './sample.ts';

/** Of piscina what is used here; it is installed for the benches alone. */
interface Pool {
  run(task: unknown, options?: { transferList: ArrayBuffer[] }): Promise<unknown>;
  destroy(): Promise<void>;
}
type PoolClass = new (options: {
  filename: string;
  minThreads: number;
  maxThreads: number;
  concurrentTasksPerWorker: number;
}) => Pool;

/** Tasks under way to each thread. */
const AHEAD = 2;

/**
 * Tasks for a pool of threads, as many under way as keep all of them busy. A batch's buffer goes
 * there for good, as those of a task do.
 */
export async function measurePiscina(order: EngineOrder): Promise<Sample> {
  const { default: Piscina } = (await import(packageUrl('piscina')!)) as { default: PoolClass };
  const { channels, what, count } = order;
  const pool = new Piscina({
    filename: new URL('./piscina-task.js', import.meta.url).href,
    minThreads: channels,
    maxThreads: channels,
    concurrentTasksPerWorker: AHEAD,
  });
  const task = (n: number): Promise<unknown> => (what === 'batches' ? batch(pool, n) : pool.run(n));
  const send = async (tasks: number): Promise<Float64Array | undefined> => {
    if (what === 'round trips') return roundTrips(task, tasks);
    let sent = 0;
    const lane = async (): Promise<void> => {
      while (sent < tasks) await task(sent++);
    };
    await Promise.all(Array.from({ length: channels * AHEAD }, lane));
    return undefined;
  };
  await send(Math.ceil(count / 5));
  const stop = clock();
  const roundTripTimes = await send(count);
  const taken = stop();
  await pool.destroy();
  return roundTripTimes === undefined ? sampleOf(order, taken) : roundTripSample(roundTripTimes);
}

function batch(pool: Pool, n: number): Promise<unknown> {
  const buffer = new ArrayBuffer(BATCH_BYTES);
  fillOffsets(new Float64Array(buffer, 0, BATCH_OFFSETS), n);
  return pool.run(buffer, { transferList: [buffer] });
}

async function roundTrips(
  task: (n: number) => Promise<unknown>,
  count: number,
): Promise<Float64Array> {
  const taken = new Float64Array(count);
  for (let n = 0; n < count; n++) {
    const begun = performance.now();
    await task(n);
    taken[n] = performance.now() - begun;
  }
  return taken;
}
