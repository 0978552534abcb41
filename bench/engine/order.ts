/** What a fresh process is asked to measure. */
export interface EngineOrder {
  by: 'engine' | 'engine, async' | 'postMessage' | 'piscina' | 'ring';
  what: 'tasks' | 'round trips' | 'batches' | 'heap';
  channels: number;
  clients: number;
  /** How many, by each client. */
  count: number;
}

/** Content of a batch, and how many offsets of pages say what it is. */
export const BATCH_BYTES = 512 * 1024;
export const BATCH_OFFSETS = 128;

/** Fills a batch's offsets: the pages from one on. */
export function fillOffsets(offsets: Float64Array, from: number): void {
  for (let i = 0; i < BATCH_OFFSETS; i++) offsets[i] = from + i * 4096;
}

/** What the other end does with them: it looks at each. */
export function sumOffsets(offsets: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < BATCH_OFFSETS; i++) sum += offsets[i]!;
  return sum;
}

/** Milliseconds, and of processor time of the whole process. */
export interface Taken {
  wall: number;
  cpu: number;
}

/** Starts a clock; what it gives, called, stops it. */
export function clock(): () => Taken {
  const begun = performance.now();
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return { wall: performance.now() - begun, cpu: (user + system) / 1000 };
  };
}
