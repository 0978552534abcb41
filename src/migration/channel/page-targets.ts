import type { CoreExports } from '../../core/index.ts';
import type { Arena } from '../../engine/arena.ts';
import { bitmapAddress, type Scratch, type SharedAreas } from './areas.ts';
import { writeAt } from './positioned.ts';

/** Where a user's own code takes a block's pages. Offsets and lengths are bytes, page multiples; the views are only valid during the call. */
export interface PageSink {
  write(offset: number, pages: Uint8Array): void | Promise<void>;
  /** These pages are zero now. */
  zero(offset: number, length: number): void | Promise<void>;
}

/** How a channel gets a block's pages to where they belong. All but `sink`, and `memory` over unshared memory, can be posted to another thread. */
export type TargetDescriptor =
  | { kind: 'memory'; bytes: Uint8Array }
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

/** @param block the block's index. */
export function createPageTarget(descriptor: TargetDescriptor, block: number, { core, scratch, pageSize, arena, areas }: TargetContext): PageTarget {
  const eachRun = (pages: PageList): [offset: number, bytes: number][] => {
    const count = core.runs(pages.offsets, pages.count, pageSize, scratch.runs);
    return Array.from({ length: count }, (_, run) => [scratch.runOffset(run), scratch.runBytes(run)]);
  };
  switch (descriptor.kind) {
    case 'memory':
      return memoryTarget(descriptor.bytes, pageSize, eachRun);
    case 'file':
      return fileTarget(descriptor, bitmapAddress(arena, areas, block)!, core, pageSize, eachRun);
    case 'sink':
      return sinkTarget(descriptor.sink, eachRun);
  }
}

type Runs = (pages: PageList) => [offset: number, bytes: number][];

function memoryTarget(bytes: Uint8Array, pageSize: number, runs: Runs): PageTarget {
  const zeroPage = new Uint8Array(pageSize);
  return {
    place: (offset, length) => bytes.subarray(offset, offset + length),
    write(pages, content) {
      let at = 0;
      for (const [offset, length] of runs(pages)) {
        bytes.set(content.subarray(at, at + length), offset);
        at += length;
      }
    },
    zero(pages) {
      for (const [offset, length] of runs(pages)) {
        for (let page = offset; page < offset + length; page += pageSize) {
          // A page that is zero already is only read: memory that was never touched stays so.
          if (Buffer.compare(bytes.subarray(page, page + pageSize), zeroPage) !== 0) bytes.fill(0, page, page + pageSize);
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
