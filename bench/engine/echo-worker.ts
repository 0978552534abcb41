/** The other end of postMessage: it looks at what it gets, and gives it back. */
import { parentPort } from 'node:worker_threads';
import { BATCH_OFFSETS, sumOffsets } from './order.ts';

let _sum = 0;
parentPort!.on('message', (buffer: ArrayBuffer) => {
  _sum += sumOffsets(new Float64Array(buffer, 0, BATCH_OFFSETS));
  parentPort!.postMessage(buffer, [buffer]);
});
