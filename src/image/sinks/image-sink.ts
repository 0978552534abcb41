import { DESCRIPTORS_CROSS_THREADS } from '#files';
import { MultifdError } from '../../util/errors.ts';
import { type ImagePlan, ImageWriter, type Stamp, type ImageUpdate } from '../index.ts';
import { type Configuration, DEFAULT_PAGE_SIZE, PlacedBytes } from '../../stream/index.ts';
import { withDeviceState } from '../../blocks/device-records.ts';
import { cannotGrow } from './store-sink.ts';
import type { IncomingSink } from '../../blocks/targets.ts';
import { concat, GrowingBytes } from '../../util/bytes.ts';

export interface ImageSinkOptions {
  path: string;
  /** Replace a file that is there. */
  force: boolean;
  /** Where the stream starts in the file (0). */
  offset?: number;
}

/** {@link imageSink}'s. */
export interface ImageSink extends IncomingSink {
  /** What an update of the image knows it by; there once `commit` has resolved. */
  readonly stamp: Stamp | undefined;
}

/**
 * A sink that writes a mapped-ram image, which has its name only once it is complete and on the
 * disk.
 * @throws MultifdError ERR_EXISTS, ERR_IO.
 */
export async function imageSink({ path, force, offset = 0 }: ImageSinkOptions): Promise<ImageSink> {
  const writer = await ImageWriter.create(path, { force, offset });
  let configuration: Configuration | undefined;
  const others = new PlacedBytes();
  let plan: ImagePlan | undefined;
  let size = DEFAULT_PAGE_SIZE;
  let hasTail = false;
  let stamp: Stamp | undefined;
  return {
    reachable: DESCRIPTORS_CROSS_THREADS,
    zeroed: false,
    get stamp() {
      return stamp;
    },
    configuration(announced) {
      configuration = announced;
    },
    other: (place, chunk) => others.append(place, chunk),
    async blocks(blocks, pageSize) {
      if (configuration === undefined)
        throw new MultifdError('ERR_INTERNAL', 'the blocks came before the configuration');
      size = pageSize;
      plan = await writer.begin(configuration, blocks, pageSize, others.before);
      return plan.blocks.map(({ pagesOffset }) => ({ fd: writer.fd, position: pagesOffset }));
    },
    resize: cannotGrow,
    // It may be long, so it is kept where it is going.
    async tail(chunk) {
      if (!hasTail && others.between.length > 0) await writer.putBetween(others.between);
      if (!hasTail && others.after.length > 0) await writer.appendTail(others.after);
      hasTail = true;
      await writer.appendTail(chunk);
    },
    async commit({ deviceState, bitmaps }) {
      await writer.writeBitmaps(bitmaps);
      if (deviceState.length > 0) {
        const tail = await writer.readTail();
        await writer.replaceTail(withDeviceState(tail, deviceState, size));
      }
      stamp = await writer.commit();
    },
    discard: () => writer.discard(),
  };
}

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
    other(_, { length }) {
      if (length === 0) return;
      throw new MultifdError('ERR_INTERNAL', 'an update of an image with a section beside "ram"');
    },
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
