import { READS_ASIDE, readAside, readAt } from '#files';
import { findByCompare } from '../../blocks/zero-pages.ts';
import type { ContentBlock } from './content.ts';
import type { PageRun } from './postcopy-left.ts';

/** Pages that have been read. */
export interface LoadedRun {
  readonly run: PageRun;
  readonly bytes: Uint8Array;
  /** Whether the run's page `page`, counted from 0, is zero: its bytes may be anything then. */
  isZero(page: number): boolean;
}

/** Reads pages of one content, in any order. */
export class PostcopyReader {
  readonly #blocks: readonly BlockReader[];
  readonly #pageSize: number;
  /** Whether several reads can be under way at a time. */
  readonly aside: boolean;

  constructor(blocks: readonly ContentBlock[], pageSize: number) {
    this.#pageSize = pageSize;
    this.#blocks = blocks.map((block) => new BlockReader(block, pageSize));
    this.aside = blocks.every(({ descriptor }) => descriptor.kind !== 'file');
  }

  /**
   * @param urgent a file is read here and now then, sooner than by another thread.
   * @throws MultifdError what reading throws.
   */
  read(run: PageRun, urgent: boolean): LoadedRun | Promise<LoadedRun> {
    const { block, first, pages } = run;
    const size = this.#pageSize;
    const bytes = new Uint8Array(pages * size);
    const reader = this.#blocks[block]!;
    // What is in between is read to nowhere: one call costs less than two.
    let [from, to] = [0, pages];
    while (from < to && !reader.isPresent(first + from)) from++;
    while (from < to && !reader.isPresent(first + to - 1)) to--;
    const loaded = {
      run,
      bytes,
      isZero: (page: number) => reader.isZero(first + page, bytes, page),
    };
    if (from === to) return loaded;
    const read = reader.read((first + from) * size, bytes.subarray(from * size, to * size), urgent);
    return read === undefined ? loaded : read.then(() => loaded);
  }
}

class BlockReader {
  readonly #block: ContentBlock;
  readonly #pageSize: number;
  /** The read before this one, of a source that takes one at a time. */
  #last: Promise<void> = Promise.resolve();

  constructor(block: ContentBlock, pageSize: number) {
    this.#block = block;
    this.#pageSize = pageSize;
  }

  isPresent(page: number): boolean {
    const { present } = this.#block;
    return present === undefined || (present[page >> 3]! & (1 << (page & 7))) !== 0;
  }

  isZero(page: number, bytes: Uint8Array, at: number): boolean {
    const size = this.#pageSize;
    return this.#block.present === undefined
      ? findByCompare(bytes, size).mask(at * size, 1) !== 0
      : !this.isPresent(page);
  }

  read(offset: number, into: Uint8Array, urgent: boolean): void | Promise<void> {
    const { descriptor, byteLength, readAnywhere } = this.#block;
    if (descriptor.kind === 'file') {
      const inside = into.subarray(0, Math.max(0, Math.min(into.length, byteLength - offset)));
      const position = descriptor.position + offset;
      if (inside.length === 0) return;
      return READS_ASIDE && !urgent
        ? readAside(descriptor, [inside], position)
        : readAt(descriptor, inside, position);
    }
    if (readAnywhere !== undefined) return readAnywhere(offset, into);
    const read = this.#last.then(() => this.#block.read(offset, into));
    this.#last = read.catch(() => {}); // who asked for it is told
    return read;
  }
}
