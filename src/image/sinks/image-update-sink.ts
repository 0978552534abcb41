import { DESCRIPTORS_CROSS_THREADS } from '#files';
import { concat } from '../../util/bytes.ts';
import { MultifdError } from '../../util/errors.ts';
import { GrowingBytes } from '../../util/growing-bytes.ts';
import type { ImageUpdate, Stamp } from '../index.ts';
import { withDeviceState } from '../../blocks/device-records.ts';
import type { ImageSink } from './image-sink.ts';

/** A sink that writes what changed into an image that an earlier snapshot made. */
export function imageUpdateSink(update: ImageUpdate): ImageSink {
  const tail = new GrowingBytes();
  let stamp: Stamp | undefined;
  const { blocks: planned, pageSize } = update.plan;
  return {
    reachable: DESCRIPTORS_CROSS_THREADS,
    zeroed: false,
    get stamp() {
      return stamp;
    },
    // The image has been found to begin with the one that it was opened for.
    configuration() {},
    blocks(blocks) {
      const same =
        blocks.length === planned.length &&
        planned.every(
          ({ id, usedLength }, index) =>
            blocks[index]!.id === id && blocks[index]!.usedLength === usedLength,
        );
      if (!same)
        throw new MultifdError(
          'ERR_INTERNAL',
          'the image was opened for other blocks than those that came',
        );
      return planned.map(({ pagesOffset }) => ({ fd: update.fd, position: pagesOffset }));
    },
    resize() {
      throw new MultifdError(
        'ERR_UNSUPPORTED',
        'an image has its place for each block from the beginning: write it anew',
      );
    },
    tail(chunk) {
      tail.append(chunk);
    },
    async commit({ deviceState, bitmaps, changed }) {
      if (changed === undefined)
        throw new MultifdError(
          'ERR_INTERNAL',
          'an image was to be updated, and nobody knows what has changed',
        );
      const pieces = withDeviceState(tail.bytes, deviceState, pageSize);
      stamp = await update.commit({ changed, bitmaps, tail: concat(pieces) });
    },
    discard: () => update.discard(),
  };
}
