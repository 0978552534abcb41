/** A channel of the benches: what it is handed it only looks at. */
import { getHeapStatistics } from 'node:v8';
import { type PayloadHandler, serveChannel } from 'multifd/engine';
import { BATCH_OFFSETS, sumOffsets } from './order.ts';
import { BATCH, LOOK, ROUND_TRIP, TASK, WEIGHED } from './payload-types.ts';
import { Replies } from './replies.ts';

serveChannel<{ replies: SharedArrayBuffer }>(({ data, emit }) => {
  const replies = new Replies(data.replies);
  let sum = 0;
  const payloads = new Map<number, PayloadHandler>([
    [TASK, ({ fields }) => void (sum += fields[0]!)],
    [ROUND_TRIP, () => replies.give()],
    [
      BATCH,
      ({ payload }) =>
        void (sum += sumOffsets(
          new Float64Array(payload.buffer, payload.byteOffset, BATCH_OFFSETS),
        )),
    ],
    [
      WEIGHED,
      ({ fields }) => void (fields[LOOK] === 1 && emit(getHeapStatistics().used_heap_size)),
    ],
  ]);
  return { kind: 'send', payloads, open() {}, sync() {}, stop() {}, close: () => emit(sum) };
});
