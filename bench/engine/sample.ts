import type { Sample } from '../lib/part.ts';
import type { EngineOrder, Taken } from './order.ts';

/** Of all clients together. */
export function sampleOf({ what, count, clients }: EngineOrder, { wall, cpu }: Taken): Sample {
  const all = count * clients;
  if (what === 'batches')
    return { 'µs a batch': (wall * 1000) / all, 'µs CPU': (cpu * 1000) / all };
  return { 'M/s': all / wall / 1000, 'µs CPU': (cpu * 1000) / all };
}
