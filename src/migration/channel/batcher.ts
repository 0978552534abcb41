import { type CoreExports, instantiateCoreSync } from '../../core/index.ts';
import type { ChannelContext } from '../../engine/program.ts';
import { Scratch, type SharedAreas } from './areas.ts';
import { createPageSource, type PagesInPlace, type PageSource, type SourceDescriptor } from './page-sources.ts';
import type { RamPayload } from './payloads.ts';

/** What every channel of a migration is told, at either end. Structured-cloneable. */
export interface ChannelBasics {
  /** The build of the core that the arena needs. */
  module: WebAssembly.Module;
  pageSize: number;
  areas: SharedAreas;
}

/** A batch that is ready to be written: its offsets are sorted into normal pages, then zero pages. */
export interface ReadyBatch {
  normal: number;
  zero: number;
  /** The normal pages' content, in order: in the slot, or where they are in their block. */
  content: Uint8Array[];
}

/** Turns a slot of pages into a batch to write: loads them, looks for zero pages, sorts. */
export class Batcher {
  readonly core: CoreExports;
  readonly scratch: Scratch;
  readonly #pageSize: number;
  readonly #sources: readonly (PageSource | undefined)[];

  constructor({ arena, scratch: at }: ChannelContext, { module, pageSize, areas }: ChannelBasics, sources: readonly SourceDescriptor[]) {
    const core = instantiateCoreSync(arena.handle.memory, module);
    const scratch = new Scratch(arena.buffer, at, pageSize);
    this.core = core;
    this.scratch = scratch;
    this.#pageSize = pageSize;
    this.#sources = sources.map((source, block) => createPageSource(source, block, { arena, areas, core, module, scratch, pageSize }));
  }

  /** @param copy whether the content has to be a private copy. */
  prepare(batch: RamPayload, copy: boolean): ReadyBatch {
    const { core, scratch } = this;
    const { count, detect } = batch;
    if (batch.zero) return { normal: 0, zero: count, content: [] };
    scratch.maskWords.fill(0);
    const inPlace = batch.staged ? undefined : this.#sources[batch.block]?.load(batch, detect, copy);
    if (detect) {
      if (inPlace === undefined) this.#detectStaged(batch);
      else inPlace.detect(batch);
    }
    const normal = detect ? core.partition(batch.offsets, count, scratch.mask, scratch.spare) : count;
    if (inPlace === undefined && normal < count) core.compact(batch.data, this.#pageSize, count, scratch.mask);
    return { normal, zero: count - normal, content: this.#content(batch, normal, inPlace) };
  }

  #detectStaged(batch: RamPayload): void {
    const { core, scratch } = this;
    for (let page = 0; page < batch.count; page += 32) {
      const bits = core.zeroMask(batch.data + page * this.#pageSize, this.#pageSize, Math.min(32, batch.count - page));
      scratch.maskWords[page >> 5]! |= bits;
    }
  }

  #content(batch: RamPayload, normal: number, inPlace: PagesInPlace | undefined): Uint8Array[] {
    if (normal === 0) return [];
    if (inPlace === undefined) return [batch.dataBytes(0, normal * this.#pageSize)];
    const runs = this.core.runs(batch.offsets, normal, this.#pageSize, this.scratch.runs);
    return Array.from({ length: runs }, (_, run) => inPlace.view(this.scratch.runOffset(run), this.scratch.runBytes(run)));
  }
}

/** Counters of a channel, after the engine's own two. */
export const Counter = { PACKETS: 0, BYTES: 1, NORMAL: 2, DUPLICATE: 3 } as const;
