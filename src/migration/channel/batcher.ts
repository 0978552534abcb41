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
  /** The normal pages' content, in order: one piece in the slot, or each run of pages where it is in its block. Empty when they are where they belong already. */
  content: Uint8Array[];
}

/** Where a run of pages belongs, in memory that can be read to. */
export type PlaceOf = (offset: number, length: number) => Uint8Array;

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

  /**
   * @param copy whether the content has to be a private copy.
   * @param placeOf where pages belong, for whoever wants them read straight to there if their source can do that. Nobody looks at them then.
   */
  prepare(batch: RamPayload, copy: boolean, placeOf?: PlaceOf): ReadyBatch {
    const { count, detect } = batch;
    if (batch.zero) return { normal: 0, zero: count, content: [] };
    const source = batch.staged ? undefined : this.#sources[batch.block];
    const straight = placeOf !== undefined && source?.read !== undefined;
    // What is known to be zero is neither loaded nor looked at.
    const known = (detect || straight) && source?.markAbsent !== undefined ? this.#sort(batch, count, () => source.markAbsent!(batch)) : count;
    if (straight) {
      this.#eachRun(batch, known, (offset, length) => source.read!(offset, placeOf(offset, length)));
      return { normal: known, zero: count - known, content: [] };
    }
    const inPlace = source?.load(batch, known, detect, copy);
    let normal = known;
    if (detect) {
      normal = this.#sort(batch, known, () => (inPlace === undefined ? this.#detectStaged(batch, known) : inPlace.detect(batch, known)));
      if (inPlace === undefined && normal < known) this.core.compact(batch.data, this.#pageSize, known, this.scratch.mask);
    }
    return { normal, zero: count - normal, content: this.#content(batch, normal, inPlace) };
  }

  /** Sorts the first `count` offsets by the mask that `mark` makes. @returns how many are normal. */
  #sort(batch: RamPayload, count: number, mark: () => void): number {
    const { core, scratch } = this;
    scratch.maskWords.fill(0);
    mark();
    return core.partition(batch.offsets, count, scratch.mask, scratch.spare);
  }

  #detectStaged(batch: RamPayload, count: number): void {
    const { core, scratch } = this;
    for (let page = 0; page < count; page += 32) {
      const bits = core.zeroMask(batch.data + page * this.#pageSize, this.#pageSize, Math.min(32, count - page));
      scratch.maskWords[page >> 5]! |= bits;
    }
  }

  #content(batch: RamPayload, normal: number, inPlace: PagesInPlace | undefined): Uint8Array[] {
    if (normal === 0) return [];
    if (inPlace === undefined) return [batch.dataBytes(0, normal * this.#pageSize)];
    const content: Uint8Array[] = [];
    this.#eachRun(batch, normal, (offset, length) => content.push(inPlace.view(offset, length)));
    return content;
  }

  #eachRun(batch: RamPayload, count: number, take: (offset: number, length: number) => void): void {
    const { core, scratch } = this;
    const runs = core.runs(batch.offsets, count, this.#pageSize, scratch.runs);
    for (let run = 0; run < runs; run++) take(scratch.runOffset(run), scratch.runBytes(run));
  }
}

/** Counters of a channel, after the engine's own two. */
export const Counter = { PACKETS: 0, BYTES: 1, NORMAL: 2, DUPLICATE: 3 } as const;
