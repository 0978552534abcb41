import { type CoreExports, instantiateCoreSync } from '../core/index.ts';
import type { ChannelContext } from '../engine/program.ts';
import { Scratch, type SharedAreas } from './areas.ts';
import {
  type BlockReader,
  type BlockSourceSpec,
  createBlockReader,
  type MemoryReader,
  type PagesInPlace,
  type PlaceOf,
  type SparseFileReader,
} from './page-sources.ts';
import type { PageTarget } from './page-targets.ts';
import type { RamPayload } from './payloads.ts';

/** What every channel of a migration is told, at either end. Structured-cloneable. */
export interface ChannelBasics {
  /** The build of the core that the arena needs. */
  module: WebAssembly.Module;
  pageSize: number;
  areas: SharedAreas;
}

/**
 * A batch that is ready to be written: its offsets are sorted into normal pages, then zero pages.
 */
export interface ReadyBatch {
  normal: number;
  zero: number;
  /**
   * The normal pages' content, in order: one piece in the slot, or each run of pages where it is in
   * its block. Empty when they are where they belong already.
   */
  content: Uint8Array[];
  /** The content is in the slot, which the next batch needs. */
  staged: boolean;
}

/** Turns a slot of pages into a batch to write: loads them, detects zero pages, sorts. */
export class Batcher {
  readonly core: CoreExports;
  readonly scratch: Scratch;
  readonly #pageSize: number;
  readonly #readers: readonly (BlockReader | undefined)[];

  constructor(
    { arena, scratch: at }: ChannelContext,
    { module, pageSize, areas }: ChannelBasics,
    sources: readonly BlockSourceSpec[],
  ) {
    const core = instantiateCoreSync(arena.handle.memory, module);
    const scratch = new Scratch(arena.buffer, at, pageSize);
    this.core = core;
    this.scratch = scratch;
    this.#pageSize = pageSize;
    this.#readers = sources.map((source, block) =>
      createBlockReader(source, block, { arena, areas, core, module, scratch, pageSize }),
    );
  }

  /**
   * @param copy whether the content has to be a private copy.
   * @param placeOf where pages belong, for a caller that wants them read directly into there if
   *   their source can do that. They are not checked for zeros then.
   */
  prepare(batch: RamPayload, copy: boolean, placeOf?: PlaceOf): ReadyBatch {
    const { count, detect } = batch;
    if (batch.zero) return { normal: 0, zero: count, content: [], staged: false };
    const reader = batch.staged ? undefined : this.#readers[batch.block];
    const direct =
      placeOf !== undefined && reader !== undefined && reader.kind !== 'memory'
        ? reader
        : undefined;
    // What is known to be zero is neither loaded nor checked.
    const known =
      (detect || direct !== undefined) && reader?.kind === 'sparse file'
        ? this.#markAbsent(batch, reader, count)
        : count;
    if (direct !== undefined && placeOf !== undefined) {
      const runs = this.#runs(batch, known);
      for (let run = 0; run < runs; run++) {
        const offset = this.scratch.runOffset(run);
        direct.read(offset, placeOf(offset, this.scratch.runBytes(run)));
      }
      return { normal: known, zero: count - known, content: [], staged: false };
    }
    const inPlace = reader?.load(batch, known, detect, copy);
    let normal = known;
    if (detect) {
      this.scratch.maskWords.fill(0);
      const found =
        inPlace === undefined ? this.#detectStaged(batch, known) : inPlace.detect(batch, known);
      if (found) {
        normal = this.#sort(batch, known);
        if (inPlace === undefined)
          this.core.compact(batch.data, this.#pageSize, known, this.scratch.mask);
      }
    }
    return {
      normal,
      zero: count - normal,
      content: this.#content(batch, normal, inPlace),
      staged: inPlace === undefined,
    };
  }

  /**
   * How many pages of a range come before the first zero page, as far as that can be told without
   * loading them, from page `first` of the block on.
   * @returns 0 where it can't.
   */
  normalPages(batch: RamPayload, first: number, count: number): number {
    const reader = batch.staged ? undefined : this.#readers[batch.block];
    return reader?.kind === 'memory' ? reader.normalPages(first, count, batch.detect) : 0;
  }

  /**
   * Reads a range without blocking, to where `target` has its places.
   * @returns how many pages were read; undefined where that can't be.
   */
  readRange(
    batch: RamPayload,
    { viewOf, zeroRun }: Pick<PageTarget, 'viewOf' | 'zeroRun'>,
  ): Promise<number> | undefined {
    if (viewOf === undefined || zeroRun === undefined) return undefined;
    const reader = this.#readers[batch.block];
    if (reader?.kind !== 'sparse file') return undefined;
    return reader.readRange(batch.first, batch.pages, viewOf, zeroRun);
  }

  /** Neighbouring pages where they are, of a block of which {@link normalPages} can tell. */
  view(batch: RamPayload, first: number, count: number): Uint8Array {
    const reader = this.#readers[batch.block] as MemoryReader;
    return reader.view(first * this.#pageSize, count * this.#pageSize);
  }

  /** Sorts the first `count` offsets by the mask. @returns how many are normal. */
  #sort(batch: RamPayload, count: number): number {
    return this.core.partition(batch.offsets, count, this.scratch.mask, this.scratch.spare);
  }

  #markAbsent(batch: RamPayload, reader: SparseFileReader, count: number): number {
    this.scratch.maskWords.fill(0);
    reader.markAbsent(batch);
    return this.#sort(batch, count);
  }

  #detectStaged(batch: RamPayload, count: number): boolean {
    const { core, scratch } = this;
    let found = 0;
    for (let page = 0; page < count; page += 32) {
      const bits = core.zeroMask(
        batch.data + page * this.#pageSize,
        this.#pageSize,
        Math.min(32, count - page),
      );
      scratch.maskWords[page >> 5] = bits;
      found |= bits;
    }
    return found !== 0;
  }

  #content(batch: RamPayload, normal: number, inPlace: PagesInPlace | undefined): Uint8Array[] {
    if (normal === 0) return [];
    if (inPlace === undefined) return [batch.dataBytes(0, normal * this.#pageSize)];
    const content: Uint8Array[] = [];
    const runs = this.#runs(batch, normal);
    for (let run = 0; run < runs; run++)
      content.push(inPlace.view(this.scratch.runOffset(run), this.scratch.runBytes(run)));
    return content;
  }

  #runs(batch: RamPayload, count: number): number {
    return this.core.runs(batch.offsets, count, this.#pageSize, this.scratch.runs);
  }
}

/**
 * Counters of a channel, after the engine's own two. At the target NUMBERS is how many packet
 * numbers the source had given away by the last packet, and MERGED is 1 when that packet has pages
 * and SYNC.
 */
export const Counter = {
  PACKETS: 0,
  BYTES: 1,
  NORMAL: 2,
  DUPLICATE: 3,
  NUMBERS: 4,
  MERGED: 5,
} as const;
