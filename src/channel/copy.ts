import { READS_ASIDE } from '#files';
import type { CoreModules } from '../core/index.ts';
import type { ChannelContext, SendProgram } from '../engine/program.ts';
import { bitmapAddress } from '../blocks/areas.ts';
import { Batcher, type ChannelBasics, Counter } from '../blocks/batcher.ts';
import type { BlockSourceSpec } from '../blocks/page-sources.ts';
import { PageTargets, type BlockTargetSpec } from '../blocks/page-targets.ts';
import { RAM, RamPayload } from '../blocks/payloads.ts';

export interface CopyChannelData extends ChannelBasics {
  sources: BlockSourceSpec[];
  targets: BlockTargetSpec[];
  targetModules: CoreModules;
}

/**
 * A multifd channel without a connection: between memory and a mapped-ram image each page has its
 * place in the file, so channels work side by side, without packets and without syncs.
 */
export function createCopyChannel(context: ChannelContext<CopyChannelData>): SendProgram {
  const { arena, data, counters, ownThread } = context;
  const { pageSize, areas } = data;
  const batcher = new Batcher(context, data, data.sources);
  const { core, scratch } = batcher;
  const targets = new PageTargets(data.targets, {
    core,
    modules: data.targetModules,
    scratch,
    pageSize,
    arena,
    areas,
  });

  return {
    kind: 'send',
    open() {},
    payloads: new Map([
      [
        RAM,
        (slot) => {
          const batch = new RamPayload(slot);
          if (!batch.isRange) return copyBatch(batch);
          // A channel in the owner's thread doesn't keep it waiting, where that can be.
          const read =
            READS_ASIDE && !ownThread
              ? batcher.readRange(batch, targets.of(batch.block))
              : undefined;
          return read === undefined
            ? copyRange(batch, 0)
            : read.then((normal) => count(normal, batch.pages - normal));
        },
      ],
    ]),
    sync() {},
    stop() {},
    close() {},
  };

  /** From page `done` of the range on. Synchronous where nothing has to be waited for. */
  function copyRange(batch: RamPayload, done: number): void | Promise<void> {
    const { first, pages, capacity } = batch;
    while (done < pages) {
      const some = Math.min(capacity, pages - done);
      batch.list(core, first + done, some, pageSize);
      done += some;
      const copied = copyBatch(batch);
      if (copied !== undefined) return copied.then(() => copyRange(batch, done));
    }
  }

  function count(normal: number, zero: number): void {
    counters[Counter.BYTES]! += normal * pageSize;
    counters[Counter.NORMAL]! += normal;
    counters[Counter.DUPLICATE]! += zero;
  }

  function copyBatch(batch: RamPayload): void | Promise<void> {
    const target = targets.of(batch.block);
    const { normal, zero, content } = batcher.prepare(batch, false, target.viewOf);
    const changes = bitmapAddress(arena, areas, batch.block, 'changes');
    if (changes !== undefined) core.markPages(changes, batch.offsets, batch.count, pageSize, 1);
    const clear = (): void | Promise<void> => {
      count(normal, zero);
      if (zero > 0) return target.zero({ offsets: batch.offsets + 8 * normal, count: zero });
    };
    const written =
      content.length > 0
        ? target.write({ offsets: batch.offsets, count: normal }, content)
        : undefined;
    return written === undefined ? clear() : written.then(clear);
  }
}
