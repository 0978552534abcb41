import { MultifdError } from '../../errors.ts';
import type { ImageUpdate, Stamp } from '../../image/index.ts';
import { withDeviceState } from '../device-records.ts';
import type { IncomingSink } from './targets.ts';

/**
 * A sink that brings an image up to date: only what has changed is written.
 * @param update opened for the same blocks. Over, one way or the other, with the sink.
 * @param onCommitted gets what the next update knows the image by.
 */
export function updateSink(update: ImageUpdate, pageSize: number, onCommitted: (stamp: Stamp) => void): IncomingSink {
  const tail: Uint8Array[] = [];
  return {
    configuration() {},
    blocks: () => update.plan.blocks.map(({ pagesOffset }) => ({ fd: update.fd, position: pagesOffset })),
    resize() {
      throw new MultifdError('ERR_UNSUPPORTED', 'an image has its place for each block from the beginning: write it anew');
    },
    tail(chunk) {
      tail.push(chunk.slice());
    },
    async commit({ deviceState, bitmaps, changed }) {
      if (changed === undefined) throw new MultifdError('ERR_INTERNAL', 'an image was to be updated, and nobody knows what has changed');
      onCommitted(await update.commit({ changed, bitmaps, tail: withDeviceState(Buffer.concat(tail), deviceState, pageSize) }));
    },
    discard: () => update.discard(),
  };
}
