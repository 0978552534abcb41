import { MultifdError } from '../../errors.ts';
import type { ImageUpdate, Stamp } from '../../image/index.ts';
import type { DeviceState } from '../channel/payloads.ts';
import { withDeviceState } from '../device-records.ts';
import type { IncomingSink } from './targets.ts';

/** All that is known at the end of an update: of each block which pages changed, and which are present. */
export interface UpdateEnd {
  deviceState: readonly DeviceState[];
  bitmaps: readonly Uint8Array[];
  changed: readonly Uint8Array[];
}

/** A sink that is told of changes only; its `bitmaps` have to start as the image's. */
export interface ImageUpdateSink extends Omit<IncomingSink, 'commit'> {
  /** What the next update knows the image by. */
  commit(end: UpdateEnd): Promise<Stamp>;
}

/** A sink that writes what changed into an image that an earlier snapshot made. */
export function imageUpdateSink(update: ImageUpdate): ImageUpdateSink {
  const tail: Uint8Array[] = [];
  const { blocks: planned, pageSize } = update.plan;
  return {
    // The image has been found to begin with the one that it was opened for.
    configuration() {},
    blocks(blocks) {
      const same = blocks.length === planned.length && planned.every(({ id, usedLength }, index) => blocks[index]!.id === id && blocks[index]!.usedLength === usedLength);
      if (!same) throw new MultifdError('ERR_INTERNAL', 'the image was opened for other blocks than those that came');
      return planned.map(({ pagesOffset }) => ({ fd: update.fd, position: pagesOffset }));
    },
    tail(chunk) {
      tail.push(chunk.slice());
    },
    commit({ deviceState, bitmaps, changed }) {
      return update.commit({ changed, bitmaps, tail: withDeviceState(Buffer.concat(tail), deviceState, pageSize) });
    },
    discard: () => update.discard(),
  };
}
