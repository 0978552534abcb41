import { writeAt } from '#files';
import { isSharedBuffer, type Span, viewOf } from '../util/bytes.ts';
import { type CoreExports, coreKind, type CoreModules } from '../core/index.ts';
import type { Arena } from '../engine/arena.ts';
import { MultifdError } from '../util/errors.ts';
import { bitmapAddress, type Scratch, type SharedAreas } from './areas.ts';
import { clearByCompare, clearByCore, type ClearPages, type Reach } from './zero-pages.ts';

/**
 * Where a user's own code takes a block's pages. Offsets and lengths are bytes, page multiples; the
 * views are only valid during the call.
 */
export interface PageSink {
  /** These pages have this content now. An error fails the migration. */
  write(offset: number, pages: Uint8Array): void | Promise<void>;
  /** These pages are zero now. */
  zero(offset: number, length: number): void | Promise<void>;
}

/**
 * How a channel gets a block's pages to where they belong. All but `sink`, and memory that is not
 * shared, can be posted to another thread.
 */
export type BlockTargetSpec =
  /**
   * From the memory's start on. It may grow between two rounds. `zeroed`: it was all zero before
   * anything came.
   */
  | { kind: 'memory'; memory: WebAssembly.Memory; zeroed: boolean }
  | { kind: 'bytes'; span: Span; zeroed: boolean }
  /**
   * A region of a mapped-ram image: block offset 0 is at `position`. Which pages are present is
   * kept in the block's bitmap in the arena.
   */
  | { kind: 'file'; fd: number; position: number }
  | { kind: 'sink'; sink: PageSink };

/** A list of pages of one block, in the arena: `count` u64 byte offsets at `offsets`. */
export interface PageList {
  offsets: number;
  count: number;
}

export interface PageTarget {
  /**
   * A run of pages where it belongs, for a caller that can read directly into it; undefined when
   * the pages have to be written.
   */
  viewOf?(offset: number, length: number): Uint8Array;
  /**
   * Pages are where they belong: said by a caller that has read directly into {@link viewOf}, where
   * there is such a method.
   */
  markWritten?(pages: PageList): void;
  /**
   * Stores pages.
   * @param content one piece that has them all, one behind the other, or a piece for each run of
   *   neighbours.
   */
  write(pages: PageList, content: readonly Uint8Array[]): void | Promise<void>;
  /** Makes pages zero. */
  zero(pages: PageList): void | Promise<void>;
  /** Makes neighbours zero, offset and length in bytes; where there is {@link viewOf}. */
  zeroRun?(offset: number, length: number): void;
}

export interface TargetContext {
  core: CoreExports;
  /**
   * For memories that are WebAssembly's: the builds of the core that detect zero pages in place.
   * Without them it is done by comparing.
   */
  modules: CoreModules;
  scratch: Scratch;
  pageSize: number;
  arena: Arena;
  areas: SharedAreas;
}

/**
 * Every block's target. In the owner's own thread the list is the owner's: a descriptor that it
 * exchanges between two rounds is the one that counts from then on.
 */
export class PageTargets {
  readonly #descriptors: readonly BlockTargetSpec[];
  readonly #context: TargetContext;
  readonly #made: { descriptor: BlockTargetSpec; target: PageTarget }[] = [];

  constructor(descriptors: readonly BlockTargetSpec[], context: TargetContext) {
    this.#descriptors = descriptors;
    this.#context = context;
  }

  /** @param block the block's index. */
  of(block: number): PageTarget {
    const descriptor = this.#descriptors[block]!;
    let made = this.#made[block];
    if (made?.descriptor !== descriptor)
      made = this.#made[block] = {
        descriptor,
        target: createPageTarget(descriptor, block, this.#context),
      };
    return made.target;
  }
}

function createPageTarget(
  descriptor: BlockTargetSpec,
  block: number,
  { core, modules, scratch, pageSize, arena, areas }: TargetContext,
): PageTarget {
  const runs: Runs = {
    each(pages, take) {
      const count = core.runs(pages.offsets, pages.count, pageSize, scratch.runs);
      for (let run = 0; run < count; run++) take(scratch.runOffset(run), scratch.runBytes(run));
    },
    eachWith(pages, content, take) {
      let [run, at] = [0, 0];
      this.each(pages, (offset, length) => {
        take(offset, content.length === 1 ? content[0]!.subarray(at, at + length) : content[run]!);
        run++;
        at += length;
      });
    },
  };
  const written = (zeroed: boolean): Written | undefined =>
    zeroed
      ? writtenPages(bitmapAddress(arena, areas, block, 'written'), core, pageSize)
      : undefined;
  switch (descriptor.kind) {
    case 'memory': {
      const module = modules[coreKind(descriptor.memory)];
      const reach = growingBytes(descriptor.memory);
      return memoryTarget(
        reach,
        module === undefined
          ? clearByCompare(reach, pageSize)
          : clearByCore(descriptor.memory, module, pageSize),
        written(descriptor.zeroed),
        pageSize,
        runs,
      );
    }
    case 'bytes': {
      const reach = fixedBytes(viewOf(descriptor.span));
      return memoryTarget(
        reach,
        clearByCompare(reach, pageSize),
        written(descriptor.zeroed),
        pageSize,
        runs,
      );
    }
    case 'file':
      return fileTarget(descriptor, bitmapAddress(arena, areas, block)!, core, pageSize, runs);
    case 'sink':
      return sinkTarget(descriptor.sink, runs);
  }
}

/**
 * Runs of neighbouring pages in a list. One list at a time: where they lie is kept in the scratch.
 */
interface Runs {
  each(pages: PageList, take: (offset: number, length: number) => void): void;
  /** Each with its content. */
  eachWith(
    pages: PageList,
    content: readonly Uint8Array[],
    take: (offset: number, bytes: Uint8Array) => void,
  ): void;
}

function fixedBytes(bytes: Uint8Array): Reach {
  return (end) => {
    if (end > bytes.length) throw tooShort(end, bytes);
    return bytes;
  };
}

function growingBytes(memory: WebAssembly.Memory): Reach {
  let bytes = new Uint8Array(memory.buffer);
  return (end) => {
    if (end <= bytes.length) return bytes;
    // Memory that is not shared has given up its old buffer, whose views have no length now. Shared
    // memory that another thread has grown can be as short as before in this one, until it is asked
    // to grow here.
    if (isSharedBuffer(memory.buffer)) memory.grow(0);
    bytes = new Uint8Array(memory.buffer);
    if (end > bytes.length) throw tooShort(end, bytes);
    return bytes;
  };
}

function tooShort(end: number, { length }: Uint8Array): MultifdError {
  return new MultifdError(
    'ERR_BLOCK_LENGTH',
    `a page ends at ${end} of a target that has ${length} bytes left: leave its memory alone ` +
      'until the migration has ended',
  );
}

/** Of memory that was zero: which pages are not any more. */
interface Written {
  mark(pages: PageList): void;
  /** Those among neighbours, from a byte offset on. */
  each(offset: number, length: number, take: ClearPages): void;
}

/**
 * @param bitmap its address; undefined where each page comes once, so that none that comes as
 *   zero was anything else before.
 */
function writtenPages(bitmap: number | undefined, core: CoreExports, pageSize: number): Written {
  if (bitmap === undefined) return { mark() {}, each() {} };
  return {
    mark: ({ offsets, count }) => core.markPages(bitmap, offsets, count, pageSize, 1),
    each(offset, length, take) {
      const end = (offset + length) / pageSize;
      for (let page = offset / pageSize; ; ) {
        const first = core.nextRun(bitmap, page, end);
        if (first === end) return;
        page = core.runEnd(bitmap, first, end);
        take(first * pageSize, page - first);
      }
    },
  };
}

/** @param written of memory that was zero. */
function memoryTarget(
  reach: Reach,
  clear: ClearPages,
  written: Written | undefined,
  pageSize: number,
  runs: Runs,
): PageTarget {
  const zeroRun = (offset: number, length: number): void => {
    reach(offset + length);
    if (written === undefined) clear(offset, length / pageSize);
    else written.each(offset, length, clear);
  };
  return {
    viewOf: (offset, length) => reach(offset + length).subarray(offset, offset + length),
    ...(written !== undefined && { markWritten: (pages: PageList) => written.mark(pages) }),
    write(pages, content) {
      runs.eachWith(pages, content, (offset, bytes) =>
        reach(offset + bytes.length).set(bytes, offset),
      );
      written?.mark(pages);
    },
    zero: (pages) => runs.each(pages, zeroRun),
    zeroRun,
  };
}

function fileTarget(
  { fd, position }: BlockTargetSpec & { kind: 'file' },
  bitmap: number,
  core: CoreExports,
  pageSize: number,
  runs: Runs,
): PageTarget {
  return {
    write(pages, content) {
      runs.eachWith(pages, content, (offset, bytes) => writeAt(fd, bytes, position + offset));
      core.markPages(bitmap, pages.offsets, pages.count, pageSize, 1);
    },
    // A clear bit says zero, no matter what the file holds there.
    zero: (pages) => core.markPages(bitmap, pages.offsets, pages.count, pageSize, 0),
  };
}

function sinkTarget(sink: PageSink, runs: Runs): PageTarget {
  return {
    async write(pages, content) {
      const pieces: [offset: number, bytes: Uint8Array][] = [];
      runs.eachWith(pages, content, (offset, bytes) => pieces.push([offset, bytes]));
      for (const [offset, bytes] of pieces) await sink.write(offset, bytes);
    },
    async zero(pages) {
      const pieces: [offset: number, length: number][] = [];
      runs.each(pages, (offset, length) => pieces.push([offset, length]));
      for (const [offset, length] of pieces) await sink.zero(offset, length);
    },
  };
}
