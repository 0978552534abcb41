import { readAside, readAt } from '#files';
import type { CoreExports } from '../core/index.ts';
import type { Arena } from '../engine/arena.ts';
import { MAX_VIEWS } from '../util/bytes.ts';
import { bitmapAddress, type Scratch, type SharedAreas } from './areas.ts';
import type { RamPayload } from './payloads.ts';
import { findByCompare, findByCore, type ZeroPages } from './zero-pages.ts';

/** How a channel gets at a block's pages. Structured-cloneable. */
export type BlockSourceSpec =
  /**
   * Shared memory, sent from where it is. In a WebAssembly one it is the core that detects
   * zero pages.
   */
  | {
      kind: 'memory';
      shared: SharedArrayBuffer | WebAssembly.Memory;
      byteOffset: number;
      byteLength: number;
    }
  /**
   * A file, read by the channel. Block offset 0 is at `position`; up to `position + length` it was
   * there when it was opened, and behind that all is zero. If `sparse`, the block's bitmap in the
   * arena says which pages the file holds; else it holds all, and the bitmap, if there is one,
   * belongs to the target.
   */
  | { kind: 'file'; fd: number; name: string; position: number; length: number; sparse: boolean }
  /** Only the client sees the pages: it stages them in the slot. */
  | { kind: 'staged' };

/** Pages that stay in their block. */
export interface PagesInPlace {
  /**
   * Sets the mask's bits of those of the first `count` pages that are zero.
   * @returns whether there are any.
   */
  detect(batch: RamPayload, count: number): boolean;
  /** A run of neighbouring pages, where it is. */
  view(offset: number, length: number): Uint8Array;
}

interface Reader {
  /**
   * Brings a batch's first `count` pages into reach.
   * @param detect whether they will be checked for zeros.
   * @param copy whether the pages have to be a private copy, which does not change while they
   *   are being compressed.
   * @returns the pages where they are, or undefined when they are in the slot now, one behind the
   *   other.
   */
  load(batch: RamPayload, count: number, detect: boolean, copy: boolean): PagesInPlace | undefined;
}

/** Of shared memory, whose pages can be sent from where they are. */
export interface MemoryReader extends Reader {
  readonly kind: 'memory';
  /**
   * How many of `count` pages from page `first` on come before the first zero page.
   * @param detect false: none counts as zero.
   */
  normalPages(first: number, count: number, detect: boolean): number;
  /** A run of neighbouring pages, where it is. */
  view(offset: number, length: number): Uint8Array;
}

/** Of a file that holds all of the block. */
export interface FileReader extends Reader {
  readonly kind: 'file';
  /** Fills `into`, memory of the caller, with the pages at an offset, all of them present. */
  read(offset: number, into: Uint8Array): void;
}

/** Of a file with holes, and a bitmap that says where. */
export interface SparseFileReader extends Reader {
  readonly kind: 'sparse file';
  /** As {@link FileReader.read}. */
  read(offset: number, into: Uint8Array): void;
  /** Sets the mask's bits of the pages that are known to be zero without a look at them. */
  markAbsent(batch: RamPayload): void;
  /**
   * Reads a range of pages to where they belong, without blocking; `absent` is told of those that
   * are known to be zero.
   * @returns how many were read.
   */
  readRange(first: number, pages: number, placeOf: PlaceOf, absent: RunTaker): Promise<number>;
}

/** How a channel reads a block that does not come staged. */
export type BlockReader = MemoryReader | FileReader | SparseFileReader;

/** Where a run of pages belongs, in memory that can be read to. */
export type PlaceOf = (offset: number, length: number) => Uint8Array;

/** Takes a run of pages: offset and length in bytes. */
type RunTaker = (offset: number, length: number) => void;

export interface SourceContext {
  arena: Arena;
  areas: SharedAreas;
  core: CoreExports;
  module: WebAssembly.Module;
  scratch: Scratch;
  pageSize: number;
}

/** @returns undefined for a block whose pages come staged. */
export function createBlockReader(
  descriptor: BlockSourceSpec,
  block: number,
  context: SourceContext,
): BlockReader | undefined {
  if (descriptor.kind === 'staged') return undefined;
  if (descriptor.kind === 'memory') return new MemoryPages(descriptor, context);
  const present = descriptor.sparse
    ? bitmapAddress(context.arena, context.areas, block)
    : undefined;
  return present === undefined
    ? new FilePages(descriptor, context)
    : new SparseFilePages(descriptor, context, present);
}

class MemoryPages implements MemoryReader, PagesInPlace {
  readonly kind = 'memory';
  readonly #bytes: Uint8Array;
  readonly #context: SourceContext;
  readonly #zeros: ZeroPages;

  constructor(
    { shared, byteOffset, byteLength }: BlockSourceSpec & { kind: 'memory' },
    context: SourceContext,
  ) {
    const memory = shared instanceof WebAssembly.Memory ? shared : undefined;
    const buffer = shared instanceof WebAssembly.Memory ? shared.buffer : shared;
    this.#bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.#context = context;
    const { module, pageSize } = context;
    this.#zeros =
      memory === undefined
        ? findByCompare(this.#bytes, pageSize)
        : findByCore(memory, module, byteOffset, pageSize);
  }

  load(
    batch: RamPayload,
    count: number,
    _detect: boolean,
    copy: boolean,
  ): PagesInPlace | undefined {
    if (!copy) return this;
    eachRun(batch, count, this.#context, (offset, length, at) =>
      batch.dataBytes(at, length).set(this.view(offset, length)),
    );
    return undefined;
  }

  normalPages(first: number, count: number, detect: boolean): number {
    return detect ? this.#zeros.normal(first * this.#context.pageSize, count) : count;
  }

  detect(batch: RamPayload, count: number): boolean {
    const { core, pageSize, scratch } = this.#context;
    const { maskWords } = scratch;
    const runs = core.runs(batch.offsets, count, pageSize, scratch.runs);
    let found = 0;
    let page = 0;
    for (let run = 0; run < runs; run++) {
      let at = scratch.runOffset(run);
      for (const end = at + scratch.runBytes(run); at < end; ) {
        // A word of the mask at a time: a run may start in the middle of one.
        const pages = Math.min(32 - (page & 31), (end - at) / pageSize);
        const bits = this.#zeros.mask(at, pages);
        maskWords[page >> 5]! |= bits << (page & 31);
        found |= bits;
        page += pages;
        at += pages * pageSize;
      }
    }
    return found !== 0;
  }

  view(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + length);
  }
}

type FileSpec = BlockSourceSpec & { kind: 'file' };

class FilePages implements FileReader {
  readonly kind = 'file';
  readonly #file: FileSpec;
  readonly #context: SourceContext;

  constructor(file: FileSpec, context: SourceContext) {
    this.#file = file;
    this.#context = context;
  }

  load(batch: RamPayload, count: number): undefined {
    loadRuns(this, batch, count, this.#context);
  }

  read(offset: number, into: Uint8Array): void {
    readFile(this.#file, offset, into);
  }
}

/** Reads from a file that all is zero behind. */
function readFile(file: FileSpec, offset: number, into: Uint8Array): void {
  const inFile = Math.max(0, Math.min(into.length, file.length - offset));
  readAt(file, into.subarray(0, inFile), file.position + offset);
  into.fill(0, inFile);
}

/** Reads a batch's first `count` pages to the slot. */
function loadRuns(
  reader: Pick<FileReader, 'read'>,
  batch: RamPayload,
  count: number,
  context: SourceContext,
): void {
  eachRun(batch, count, context, (offset, length, at) =>
    reader.read(offset, batch.dataBytes(at, length)),
  );
}

/**
 * Bytes that a call reads to nowhere, sooner than to leave them to another call: with pages here
 * and there, a call for each would cost ten times as much.
 */
const GAP_BYTES = 64 * 1024;

class SparseFilePages implements SparseFileReader {
  readonly kind = 'sparse file';
  readonly #file: FileSpec;
  readonly #context: SourceContext;
  /** Address of the bitmap of pages that the file holds. */
  readonly #present: number;
  readonly #gap = new Uint8Array(GAP_BYTES);

  constructor(file: FileSpec, context: SourceContext, present: number) {
    this.#file = file;
    this.#context = context;
    this.#present = present;
  }

  async readRange(
    first: number,
    pages: number,
    placeOf: PlaceOf,
    absent: RunTaker,
  ): Promise<number> {
    // All of a range's calls are under way at once: what comes between two of them would leave
    // processors idle.
    const calls: Promise<void>[] = [];
    try {
      const bytes = this.#startReading(first, pages, placeOf, absent, calls);
      await Promise.all(calls);
      return bytes / this.#context.pageSize;
    } finally {
      // No call may write to the memory any more once a failure has been told.
      await Promise.allSettled(calls);
    }
  }

  /** @param calls gets those that are under way. @returns how many bytes of pages they read. */
  #startReading(
    first: number,
    pages: number,
    placeOf: PlaceOf,
    absent: RunTaker,
    calls: Promise<void>[],
  ): number {
    const { pageSize } = this.#context;
    const { position } = this.#file;
    let read = 0;
    let pieces: Uint8Array[] = [];
    let [from, to] = [0, 0];
    const call = (): void => {
      if (pieces.length > 0) calls.push(readAside(this.#file, pieces, position + from));
      pieces = [];
    };
    this.#eachPart(first * pageSize, pages * pageSize, (offset, length, present) => {
      if (!present) return absent(offset, length);
      const gap = offset - to;
      if (gap > GAP_BYTES || pieces.length > MAX_VIEWS - 2) call();
      if (pieces.length === 0) from = offset;
      else if (gap > 0) pieces.push(this.#gap.subarray(0, gap));
      pieces.push(placeOf(offset, length));
      to = offset + length;
      read += length;
    });
    call();
    return read;
  }

  markAbsent(batch: RamPayload): void {
    const { pageSize, scratch } = this.#context;
    eachRun(batch, batch.count, this.#context, (offset, length, at) => {
      this.#eachPart(offset, length, (from, bytes, present) => {
        if (!present) setBits(scratch.maskWords, (at + from - offset) / pageSize, bytes / pageSize);
      });
    });
  }

  read(offset: number, into: Uint8Array): void {
    readFile(this.#file, offset, into);
  }

  load(batch: RamPayload, count: number, detect: boolean): undefined {
    // A caller that detects has left out what is absent.
    if (detect) return void loadRuns(this, batch, count, this.#context);
    eachRun(batch, count, this.#context, (offset, length, at) => {
      this.#eachPart(offset, length, (from, bytes, present) => {
        const into = batch.dataBytes(at + from - offset, bytes);
        if (present) this.read(from, into);
        else into.fill(0);
      });
    });
  }

  /** Parts of a run of pages, in order: those that the file holds, and those that it doesn't. */
  #eachPart(
    offset: number,
    length: number,
    take: (offset: number, length: number, present: boolean) => void,
  ): void {
    const { core, pageSize } = this.#context;
    const end = (offset + length) / pageSize;
    for (let page = offset / pageSize; page < end; ) {
      const start = core.nextRun(this.#present, page, end);
      const stop = core.runEnd(this.#present, start, end);
      if (start > page) take(page * pageSize, (start - page) * pageSize, false);
      if (stop > start) take(start * pageSize, (stop - start) * pageSize, true);
      page = stop;
    }
  }
}

/** Sets `count` bits of a mask, from bit `first` on. */
function setBits(words: Uint32Array, first: number, count: number): void {
  for (let bit = first; bit < first + count; ) {
    const from = bit & 31;
    const bits = Math.min(32 - from, first + count - bit);
    words[bit >> 5]! |= (bits === 32 ? -1 : (1 << bits) - 1) << from;
    bit += bits;
  }
}

/**
 * Calls `take(block offset, bytes, byte position in the batch)` for each run of neighbouring pages
 * among the first `count`.
 */
function eachRun(
  batch: RamPayload,
  count: number,
  { core, scratch, pageSize }: SourceContext,
  take: (offset: number, length: number, at: number) => void,
): void {
  const runs = core.runs(batch.offsets, count, pageSize, scratch.runs);
  let at = 0;
  for (let run = 0; run < runs; run++) {
    const length = scratch.runBytes(run);
    take(scratch.runOffset(run), length, at);
    at += length;
  }
}
