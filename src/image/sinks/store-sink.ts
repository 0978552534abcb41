import { concat, GrowingBytes } from '../../util/bytes.ts';
import { afterwards } from '../../util/callbacks.ts';
import { givenArray } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import { type ImagePlan, planImage } from '../mapped-ram/layout.ts';
import { type Configuration, DEFAULT_PAGE_SIZE, PlacedBytes } from '../../stream/index.ts';
import type { PageSink } from '../../blocks/page-targets.ts';
import { withDeviceState } from '../../blocks/device-records.ts';
import { givenTarget, type IncomingBlock, type IncomingSink } from '../../blocks/targets.ts';

/**
 * A place for a mapped-ram image that is no file: a database, a bucket. It gets every part of the
 * image with its place in it, as a file would have it, and keeps it as it likes. The calls come in
 * this order, and `discard` at most once, instead of or during any but the first.
 */
export interface ImageStore {
  /**
   * The image begins: `plan.pieces` is all of it but bitmaps, pages, and what follows the RAM.
   * @returns where each block's pages go. The store makes the bitmaps, of the pages that were
   *   written and have not become zero since.
   */
  begin(plan: ImagePlan): readonly PageSink[] | Promise<readonly PageSink[]>;
  /**
   * Every page is there: keep the image.
   * @param tail what comes from `plan.tailOffset` on; only valid during the call.
   */
  commit(tail: Uint8Array): void | Promise<void>;
  /** The migration has failed: forget what came. */
  discard(): void | Promise<void>;
}

/** A sink that gives a store its image. */
export function storeSink(store: ImageStore): IncomingSink {
  const tail = new GrowingBytes();
  const others = new PlacedBytes();
  let size = DEFAULT_PAGE_SIZE;
  let configuration: Configuration | undefined;
  return {
    reachable: false,
    zeroed: false,
    configuration(announced) {
      configuration = announced;
    },
    other: (place, chunk) => others.append(place, chunk),
    async blocks(blocks, pageSize) {
      if (configuration === undefined)
        throw new MultifdError('ERR_INTERNAL', 'the blocks came before the configuration');
      size = pageSize;
      const { before } = others;
      const sinks = givenArray(
        "what the image store's begin() gave",
        await store.begin(planImage({ configuration, blocks, pageSize, before })),
        'an array of { write, zero }',
      );
      if (sinks.length === blocks.length)
        return sinks.map((sink, index) => givenTarget(blocks[index]!.id, sink));
      throw new MultifdError(
        'ERR_OPTION',
        `the image store has a place for ${sinks.length} of ${blocks.length} blocks`,
      );
    },
    resize: cannotGrow,
    tail(chunk) {
      tail.append(chunk);
    },
    async commit({ deviceState }) {
      const rest = withDeviceState(tail.bytes, deviceState, size);
      // The END of "ram" has its place already: sections beside it come behind that, which is the
      // same to who loads them.
      const { between, after } = others;
      const beside = [between, after].filter(({ length }) => length > 0);
      const [whole, ...more] = [...beside, ...rest];
      await store.commit(more.length === 0 ? whole! : concat([whole!, ...more]));
    },
    // What it is discarded for is the error that counts.
    discard: () => afterwards('discard() of the image store', () => store.discard()),
  };
}

/** The answer of a sink that writes an image anew. Throws MultifdError ERR_UNSUPPORTED. */
export function cannotGrow([first]: readonly IncomingBlock[]): never {
  throw new MultifdError(
    'ERR_UNSUPPORTED',
    `the block ${JSON.stringify(first?.id)} grew to ${first?.usedLength} bytes on the way, ` +
      'but an image has its place for each block from the beginning: migrate again, now that ' +
      'it has grown, or receive into memory, or record the migration',
  );
}
