/**
 * The reading end of a ring: it looks at each message, and in round trips puts it into a ring that
 * goes back.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { popWhole, pushWhole, ringClass } from './ring.ts';

const { there, back, messages, numbers } = workerData as {
  there: SharedArrayBuffer;
  back: SharedArrayBuffer | undefined;
  messages: number;
  numbers: number;
};
const RingBuffer = await ringClass();
const ring = new RingBuffer(there, Float64Array);
const answers = back && new RingBuffer(back, Float64Array);
const message = new Float64Array(numbers);
let sum = 0;
parentPort!.postMessage('ready');
for (let n = 0; n < messages; n++) {
  popWhole(ring, message);
  for (let i = 0; i < numbers; i++) sum += message[i]!;
  if (answers !== undefined) pushWhole(answers, message);
}
parentPort!.postMessage(sum);
