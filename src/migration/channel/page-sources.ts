import { readAt } from '#host/files';
import { type CoreExports, instantiateCoreSync } from '../../core/index.ts';
import type { Arena } from '../../engine/arena.ts';
import { bitmapAddress, type Scratch, type SharedAreas } from './areas.ts';
import type { RamPayload } from './payloads.ts';

/** How a channel gets at a block's pages. Structured-cloneable. */
export type SourceDescriptor =
  /** Shared memory, sent from where it is. With `memory`, the core looks for zero pages in place. */
  | { kind: 'memory'; buffer: SharedArrayBuffer; byteOffset: number; byteLength: number; memory?: WebAssembly.Memory }
  /**
   * A file, read by the channel. Block offset 0 is at `position`; behind `position + length` all is zero. If `sparse`, the block's bitmap in the
   * arena says which pages the file holds; else it holds all, and the bitmap, if there is one, belongs to the target.
   */
  | { kind: 'file'; fd: number; position: number; length: number; sparse: boolean }
  /** Only the client sees the pages: it stages them in the slot. */
  | { kind: 'staged' };

/** Pages that stay in their block. */
export interface PagesInPlace {
  /** Sets the mask's bits of zero pages. */
  detect(batch: RamPayload): void;
  /** A run of neighbouring pages, where it is. */
  view(offset: number, length: number): Uint8Array;
}

export interface PageSource {
  /**
   * Brings a batch into reach. Sets the mask's bits of pages that it knows to be zero without a look (they need no content then) if
   * `detect`; of no other.
   * @param copy whether the pages have to be a private copy, which nobody changes while they are being compressed.
   * @returns the pages where they are, or undefined when they are in the slot now, one behind the other.
   */
  load(batch: RamPayload, detect: boolean, copy: boolean): PagesInPlace | undefined;
}

export interface SourceContext {
  arena: Arena;
  areas: SharedAreas;
  core: CoreExports;
  module: WebAssembly.Module;
  scratch: Scratch;
  pageSize: number;
}

/** @returns undefined for a block whose pages come staged. */
export function createPageSource(descriptor: SourceDescriptor, block: number, context: SourceContext): PageSource | undefined {
  if (descriptor.kind === 'staged') return undefined;
  if (descriptor.kind === 'memory') return new MemorySource(descriptor, context);
  return new FileSource(descriptor, block, context);
}

class MemorySource implements PageSource, PagesInPlace {
  readonly #bytes: Uint8Array;
  readonly #byteOffset: number;
  readonly #context: SourceContext;
  /** The core over the block's own memory, where that is a WebAssembly one. */
  readonly #inPlace: CoreExports | undefined;

  constructor({ buffer, byteOffset, byteLength, memory }: SourceDescriptor & { kind: 'memory' }, context: SourceContext) {
    this.#bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.#byteOffset = byteOffset;
    this.#context = context;
    this.#inPlace = memory && instantiateCoreSync(memory, context.module);
  }

  load(batch: RamPayload, detect: boolean, copy: boolean): PagesInPlace | undefined {
    if (!copy && (!detect || this.#inPlace !== undefined)) return this;
    eachRun(batch, this.#context, (offset, length, at) => batch.dataBytes(at, length).set(this.view(offset, length)));
    return undefined;
  }

  detect(batch: RamPayload): void {
    const { pageSize, scratch } = this.#context;
    let page = 0;
    eachRun(batch, this.#context, (offset, length) => {
      for (let at = 0; at < length; ) {
        // A word of the mask at a time: a run may start in the middle of one.
        const count = Math.min(32 - (page & 31), (length - at) / pageSize);
        const bits = this.#inPlace!.zeroMask(this.#byteOffset + offset + at, pageSize, count);
        scratch.maskWords[page >> 5]! |= bits << (page & 31);
        page += count;
        at += count * pageSize;
      }
    });
  }

  view(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + length);
  }
}

class FileSource implements PageSource {
  readonly #file: SourceDescriptor & { kind: 'file' };
  readonly #context: SourceContext;
  /** Address of the bitmap of pages that the file holds; without one it holds all. */
  readonly #present: number | undefined;

  constructor(file: SourceDescriptor & { kind: 'file' }, block: number, context: SourceContext) {
    this.#file = file;
    this.#context = context;
    this.#present = file.sparse ? bitmapAddress(context.arena, context.areas, block) : undefined;
  }

  load(batch: RamPayload, detect: boolean): undefined {
    const { core, pageSize, scratch } = this.#context;
    eachRun(batch, this.#context, (offset, length, at) => {
      if (this.#present === undefined) return this.#read(batch, offset, length, at);
      const first = offset / pageSize;
      const end = first + length / pageSize;
      for (let page = first; page < end; ) {
        const start = core.nextRun(this.#present, page, end);
        const stop = core.runEnd(this.#present, start, end);
        for (; page < start; page++) {
          const index = at / pageSize + page - first;
          if (detect) scratch.maskWords[index >> 5]! |= 1 << (index & 31);
          else batch.dataBytes(index * pageSize, pageSize).fill(0);
        }
        if (stop > start) this.#read(batch, start * pageSize, (stop - start) * pageSize, at + (start - first) * pageSize);
        page = stop;
      }
    });
  }

  #read(batch: RamPayload, offset: number, length: number, at: number): void {
    const inFile = Math.max(0, Math.min(length, this.#file.length - offset));
    readAt(this.#file.fd, batch.dataBytes(at, inFile), this.#file.position + offset);
    batch.dataBytes(at + inFile, length - inFile).fill(0);
  }
}

/** Calls `take(block offset, bytes, byte position in the batch)` for each run of neighbouring pages. */
function eachRun(batch: RamPayload, { core, scratch, pageSize }: SourceContext, take: (offset: number, length: number, at: number) => void): void {
  const count = core.runs(batch.offsets, batch.count, pageSize, scratch.runs);
  let at = 0;
  for (let run = 0; run < count; run++) {
    const length = scratch.runBytes(run);
    take(scratch.runOffset(run), length, at);
    at += length;
  }
}
