/** What piscina's threads do. */
import { BATCH_OFFSETS, sumOffsets } from './order.ts';

export default (task: number | ArrayBuffer): number =>
  typeof task === 'number' ? task : sumOffsets(new Float64Array(task, 0, BATCH_OFFSETS));
