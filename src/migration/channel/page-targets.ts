import { writeAt } from '#host/files';
import { sameBytes } from '#host/memory';
import { isSharedBuffer } from '../../bytes.ts';
import type { CoreExports } from '../../core/index.ts';
import type { Arena } from '../../engine/arena.ts';
import { MultifdError } from '../../errors.ts';
import { bitmapAddress, type Scratch, type SharedAreas } from './areas.ts';

/** Where a user's own code takes a block's pages. Offsets and lengths are bytes, page multiples; the views are only valid during the call. */
export interface PageSink {
  write(offset: number, pages: Uint8Array): void | Promise<void>;
  /** These pages are zero now. */
  zero(offset: number, length: number): void | Promise<void>;
}

/** How a channel gets a block's pages to where they belong. All but `sink`, and memory that is not shared, can be posted to another thread. */
export type TargetDescriptor =
  /** From the memory's start on. It may grow between two rounds. */
  | { kind: 'memory'; memory: WebAssembly.Memory }
  | { kind: 'bytes'; bytes: Uint8Array }
  /** A region of a mapped-ram image: block offset 0 is at `position`. Which pages are present is kept in the block's bitmap in the arena. */
  | { kind: 'file'; fd: number; position: number }
  | { kind: 'sink'; sink: PageSink };

/** A list of pages of one block, in the arena: `count` u64 byte offsets at `offsets`. */
export interface PageList {
  offsets: number;
  count: number;
}

export interface PageTarget {
  /** A run of pages where it belongs, for whoever can read straight to there; undefined when the pages have to be written. */
  place?(offset: number, length: number): Uint8Array;
  /** Stores pages: `content` has one behind the other. */
  write(pages: PageList, content: Uint8Array): void | Promise<void>;
  /** Makes pages zero. */
  zero(pages: PageList): void | Promise<void>;
}

export interface TargetContext {
  core: CoreExports;
  scratch: Scratch;
  pageSize: number;
  arena: Arena;
  areas: SharedAreas;
}

/**
 * Every block's target. In the owner's own thread the list is the owner's: a descriptor that it exchanges between two rounds is the one that counts
 * from then on.
 */
export class PageTargets {
  readonly #descriptors: readonly TargetDescriptor[];
  readonly #context: TargetContext;
  readonly #made: { descriptor: TargetDescriptor; target: PageTarget }[] = [];

  constructor(descriptors: readonly TargetDescriptor[], context: TargetContext) {
    this.#descriptors = descriptors;
    this.#context = context;
  }

  /** @param block the block's index. */
  of(block: number): PageTarget {
    const descriptor = this.#descriptors[block]!;
    let made = this.#made[block];
    if (made?.descriptor !== descriptor) made = this.#made[block] = { descriptor, target: createPageTarget(descriptor, block, this.#context) };
    return made.target;
  }
}

function createPageTarget(descriptor: TargetDescriptor, block: number, { core, scratch, pageSize, arena, areas }: TargetContext): PageTarget {
  const eachRun = (pages: PageList): [offset: number, bytes: number][] => {
    const count = core.runs(pages.offsets, pages.count, pageSize, scratch.runs);
    return Array.from({ length: count }, (_, run) => [scratch.runOffset(run), scratch.runBytes(run)]);
  };
  switch (descriptor.kind) {
    case 'memory':
      return memoryTarget(growingBytes(descriptor.memory), pageSize, eachRun);
    case 'bytes':
      return memoryTarget(fixedBytes(descriptor.bytes), pageSize, eachRun);
    case 'file':
      return fileTarget(descriptor, bitmapAddress(arena, areas, block)!, core, pageSize, eachRun);
    case 'sink':
      return sinkTarget(descriptor.sink, eachRun);
  }
}

type Runs = (pages: PageList) => [offset: number, bytes: number][];

/** The bytes of a block's memory, `end` of them or more. @throws MultifdError ERR_BLOCK_LENGTH when there are not that many any more. */
type Reach = (end: number) => Uint8Array;

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
    // Memory that is not shared has given up its old buffer, whose views have no length now. Shared memory that another thread has grown can be as
    // short as before in this one, until it is asked to grow here.
    if (isSharedBuffer(memory.buffer)) memory.grow(0);
    bytes = new Uint8Array(memory.buffer);
    if (end > bytes.length) throw tooShort(end, bytes);
    return bytes;
  };
}

function tooShort(end: number, { length }: Uint8Array): MultifdError {
  return new MultifdError('ERR_BLOCK_LENGTH', `a page ends at ${end} of a target that has ${length} bytes left: leave its memory alone until the migration has ended`);
}

function memoryTarget(reach: Reach, pageSize: number, runs: Runs): PageTarget {
  const zeroPage = new Uint8Array(pageSize);
  return {
    place: (offset, length) => reach(offset + length).subarray(offset, offset + length),
    write(pages, content) {
      let at = 0;
      for (const [offset, length] of runs(pages)) {
        reach(offset + length).set(content.subarray(at, at + length), offset);
        at += length;
      }
    },
    zero(pages) {
      for (const [offset, length] of runs(pages)) {
        const bytes = reach(offset + length);
        for (let page = offset; page < offset + length; page += pageSize) {
          // A page that is zero already is only read: memory that was never touched stays so.
          if (!sameBytes(bytes, page, zeroPage, 0, pageSize)) bytes.fill(0, page, page + pageSize);
        }
      }
    },
  };
}

function fileTarget({ fd, position }: TargetDescriptor & { kind: 'file' }, bitmap: number, core: CoreExports, pageSize: number, runs: Runs): PageTarget {
  return {
    write(pages, content) {
      let at = 0;
      for (const [offset, length] of runs(pages)) {
        writeAt(fd, content.subarray(at, at + length), position + offset);
        at += length;
      }
      core.markPages(bitmap, pages.offsets, pages.count, pageSize, 1);
    },
    // A clear bit says zero, whatever the file holds there.
    zero: (pages) => core.markPages(bitmap, pages.offsets, pages.count, pageSize, 0),
  };
}

function sinkTarget(sink: PageSink, runs: Runs): PageTarget {
  return {
    async write(pages, content) {
      let at = 0;
      for (const [offset, length] of runs(pages)) {
        await sink.write(offset, content.subarray(at, at + length));
        at += length;
      }
    },
    async zero(pages) {
      for (const [offset, length] of runs(pages)) await sink.zero(offset, length);
    },
  };
}
