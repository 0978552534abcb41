import { packageUrl } from '../lib/tools.ts';

/** Of ringbuf.js what is used here; it is installed for the benches alone. */
export interface Ring {
  push(elements: Float64Array): number;
  pop(elements: Float64Array): number;
  availableRead(): number;
  availableWrite(): number;
}
interface RingClass {
  new (buffer: SharedArrayBuffer, type: Float64ArrayConstructor): Ring;
  getStorageForCapacity(capacity: number, type: Float64ArrayConstructor): SharedArrayBuffer;
}

/** Messages that a ring has room for. */
export const RING_MESSAGES = 64;
/** Numbers in a message: as many bytes as a slot's head has. */
export const TASK_NUMBERS = 8;

export async function ringClass(): Promise<RingClass> {
  return ((await import(packageUrl('ringbuf.js')!)) as { RingBuffer: RingClass }).RingBuffer;
}

/** A ring has no way to sleep: whoever waits looks again. */
export function pushWhole(ring: Ring, message: Float64Array): void {
  while (ring.availableWrite() < message.length);
  ring.push(message);
}

export function popWhole(ring: Ring, message: Float64Array): void {
  while (ring.availableRead() < message.length);
  ring.pop(message);
}
