/**
 * A client of the benches, in a thread of its own: it does its work once to get warm, says so, and
 * does it again when it is told to.
 */
import { once } from 'node:events';
import { getHeapStatistics } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { Client, type ClientHandle } from 'multifd/engine';
import { BATCH_OFFSETS, type EngineOrder, fillOffsets } from './order.ts';
import { BATCH, LOOK, ROUND_TRIP, TASK, WEIGHED } from './payload-types.ts';
import { Replies } from './replies.ts';

const {
  handle,
  order,
  replies: buffer,
} = workerData as { handle: ClientHandle; order: EngineOrder; replies: SharedArrayBuffer };
const client = Client.attach(handle);
const replies = new Replies(buffer);
let answered = 0;

const WORK: Record<EngineOrder['what'], (count: number) => unknown> = {
  tasks(count) {
    for (let n = 0; n < count; n++) {
      const { slot } = client;
      slot.become(TASK);
      slot.fields[0] = n;
      client.send();
    }
  },
  batches(count) {
    for (let n = 0; n < count; n++) {
      const { slot } = client;
      slot.become(BATCH);
      fillOffsets(new Float64Array(slot.payload.buffer, slot.payloadOffset, BATCH_OFFSETS), n);
      client.send();
    }
  },
  'round trips'(count) {
    const taken = new Float64Array(count);
    for (let n = 0; n < count; n++) {
      const begun = performance.now();
      client.slot.become(ROUND_TRIP);
      client.send();
      replies.await(++answered);
      taken[n] = performance.now() - begun;
    }
    return taken;
  },
  heap(count) {
    const before = getHeapStatistics().used_heap_size;
    for (let n = 0; n < count; n++) {
      const { slot } = client;
      slot.become(WEIGHED);
      // The channel looks at its own heap at the first and at the last.
      slot.fields[LOOK] = n === 0 || n === count - 1 ? 1 : 0;
      client.send();
    }
    return getHeapStatistics().used_heap_size - before;
  },
};

const work = WORK[order.what];
// Where the heap is weighed, looking at it is what compilers have to get used to as well: code that
// they throw away and make again is in the heap too.
const [times, share] = order.what === 'heap' ? [4, 1] : [1, 0.2];
for (let time = 0; time < times; time++) work(Math.ceil(order.count * share));
parentPort!.postMessage('warm');
await once(parentPort!, 'message');
parentPort!.postMessage(work(order.count));
parentPort!.close();
