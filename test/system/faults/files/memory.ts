import { Random } from '../../../support/random.ts';
import { someMemory } from '../bases.ts';
import { PAGE } from '../grammar.ts';

/** A guest's memory at its first snapshot. */
export const before = (): Uint8Array => someMemory(new Random(4), 20);

/** And at its second: pages written, one that was zero, and one that is now. */
export function after(): Uint8Array {
  const memory = before();
  const random = new Random(5);
  for (const page of [0, 1, 5, 6, 7]) memory.set(random.bytes(PAGE), page * PAGE);
  memory.fill(0, 12 * PAGE, 13 * PAGE);
  return memory;
}
