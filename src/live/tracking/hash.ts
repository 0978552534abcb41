import { type CoreExports, HASH_LENGTH, hashKeyLength } from '../../core/index.ts';
import { integer } from '../../checks.ts';
import { MultifdError } from '../../errors.ts';
import type { GuestMemory } from '../guest-memory.ts';
import { GROUP_PAGES, newSegment, SEGMENT_PAGES, type Segments, setBit, type Tracker } from './tracker.ts';

const up16 = (bytes: number): number => Math.ceil(bytes / 16) * 16;

/** Bytes that looking for changes by hashes needs in a guest's memory: for each thread that looks, the key, and the hashes of a group of pages. */
export function hashScratchBytes(pageSize = 4096, threads = 1): number {
  return integer('threads', threads, 1, 1024) * (up16(hashKeyLength(pageSize)) + GROUP_PAGES * HASH_LENGTH);
}

/** Bytes that it needs in the arena. */
export function hashArenaBytes(pageSize: number): number {
  return hashScratchBytes(pageSize) + pageSize;
}

/** Where hashes of what was sent are made; each tracker has its own. */
export interface HashArena {
  core: CoreExports;
  buffer: ArrayBufferLike;
  /** Address of {@link hashArenaBytes} bytes, zero at first: for the key, a hash, and a zero page behind them. */
  address: number;
}

export interface HashTrackerOptions {
  memory: GuestMemory;
  pageSize: number;
  /** What an earlier tracker kept, under the same key; changed by this one. */
  segments: Segments;
  /** Random. */
  key: Uint8Array;
  arena: HashArena;
  /** Byte offset of {@link hashScratchBytes} bytes in the guest's memory that nobody uses; without it they are borrowed. */
  scratch: number | undefined;
}

/**
 * 128 bits of each page that was sent. Pages are hashed where they are, so the key has to be in the guest's memory for the time. Unless the caller sets
 * bytes aside for it, they are borrowed during each call: kept, used, and put back before the guest's thread does anything else, so that the guest never
 * sees it. Memory that other threads work on can't be borrowed.
 */
export class HashTracker implements Tracker {
  readonly #options: HashTrackerOptions;
  readonly #key: Uint8Array;
  readonly #zero: Uint32Array;
  readonly #kept: Uint8Array;

  /** @throws MultifdError ERR_OPTION for a memory in which the hashes can't be made. */
  constructor(options: HashTrackerOptions) {
    const { memory, pageSize, arena, scratch } = options;
    if (memory.core === undefined) throw new MultifdError('ERR_OPTION', 'hashes are made in WebAssembly memories: track other memory by compare');
    if (scratch === undefined && memory.shared) throw new MultifdError('ERR_OPTION', 'hashes in shared memory need bytes of it that nobody else uses: give their offset as scratch, or track by compare');
    const bytes = hashScratchBytes(pageSize);
    if (memory.bytes.length < 2 * bytes + 2 * pageSize || (scratch !== undefined && (scratch % 16 !== 0 || scratch < 0 || scratch + bytes > memory.bytes.length))) {
      throw new MultifdError('ERR_OPTION', `hashes need ${bytes} bytes of the memory's ${memory.bytes.length}, at a multiple of 16: track by compare`);
    }
    this.#options = options;
    this.#key = options.key;
    new Uint8Array(arena.buffer).set(options.key, arena.address);
    this.#kept = new Uint8Array(bytes);
    this.#zero = this.#hashOfZeros();
  }

  changed(page: number, count: number, mask: Uint32Array): void {
    const { memory, pageSize, scratch } = this.#options;
    if (scratch !== undefined) return this.#look(page, count, 0, scratch, mask);
    // What is borrowed must not be what is hashed: the memory's end for pages of its first half, its beginning for the others.
    const { length } = memory.bytes;
    const inFirstHalf = Math.max(0, Math.min(count, Math.floor(length / 2 / pageSize) - page));
    if (inFirstHalf > 0) this.#borrow(length - this.#kept.length, (at) => this.#look(page, inFirstHalf, 0, at, mask));
    if (inFirstHalf < count) this.#borrow(0, (at) => this.#look(page + inFirstHalf, count - inFirstHalf, inFirstHalf, at, mask));
  }

  sent(page: number, pages: number, _content: Uint8Array, address: number): void {
    const { arena, pageSize } = this.#options;
    const out = arena.address + up16(this.#key.length);
    arena.core.hashPages(address, pageSize, pages, arena.address, out);
    this.#segment(page).set(new Uint32Array(arena.buffer, out, 4 * pages), 4 * (page % SEGMENT_PAGES));
  }

  sentZero(page: number, pages: number): void {
    if (!this.#options.segments.has(Math.floor(page / SEGMENT_PAGES))) return;
    const segment = this.#segment(page);
    for (let p = page % SEGMENT_PAGES, end = p + pages; p < end; p++) segment.set(this.#zero, 4 * p);
  }

  #borrow(at: number, work: (at: number) => void): void {
    const { bytes } = this.#options.memory;
    this.#kept.set(bytes.subarray(at, at + this.#kept.length));
    try {
      work(at);
    } finally {
      bytes.set(this.#kept, at);
    }
  }

  /** @param bit the mask's bit of the first page. @param at where the key and the hashes go. */
  #look(page: number, count: number, bit: number, at: number, mask: Uint32Array): void {
    const { memory, pageSize, segments } = this.#options;
    const { bytes, core } = memory;
    bytes.set(this.#key, at);
    const out = at + up16(this.#key.length);
    core!.hashPages(page * pageSize, pageSize, count, at, out);
    const now = new Uint32Array(bytes.buffer, out, 4 * count);
    const segment = segments.get(Math.floor(page / SEGMENT_PAGES));
    const then = segment && new Uint32Array(segment.buffer, HASH_LENGTH * (page % SEGMENT_PAGES), 4 * count);
    for (let i = 0; i < count; i++) {
      const [words, from] = then === undefined ? [this.#zero, 0] : [then, 4 * i];
      const same = now[4 * i] === words[from] && now[4 * i + 1] === words[from + 1] && now[4 * i + 2] === words[from + 2] && now[4 * i + 3] === words[from + 3];
      if (!same) setBit(mask, bit + i);
    }
  }

  /** The hashes of the segment that a page is in. */
  #segment(page: number): Uint32Array {
    const { segments, memory } = this.#options;
    const number = Math.floor(page / SEGMENT_PAGES);
    const there = segments.get(number);
    if (there !== undefined) return new Uint32Array(there.buffer);
    const bytes = newSegment(SEGMENT_PAGES * HASH_LENGTH, memory.shared);
    segments.set(number, bytes);
    const hashes = new Uint32Array(bytes.buffer);
    for (let i = 0; i < hashes.length; i += 4) hashes.set(this.#zero, i);
    return hashes;
  }

  /** Of the zero page that is behind the hashes in the arena. */
  #hashOfZeros(): Uint32Array {
    const { arena, pageSize } = this.#options;
    const out = arena.address + up16(this.#key.length);
    arena.core.hash(arena.address + hashScratchBytes(pageSize), pageSize, arena.address, out);
    return new Uint32Array(arena.buffer, out, 4).slice();
  }
}
