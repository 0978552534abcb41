import { type CoreExports, HASH_LENGTH, hashKeyLength } from '../../core/index.ts';
import { integer } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import type { GuestMemory } from '../guest-memory.ts';
import {
  GROUP_PAGES,
  newSegment,
  SEGMENT_PAGES,
  type Segments,
  setBit,
  type Tracker,
} from './tracker.ts';

const up16 = (bytes: number): number => Math.ceil(bytes / 16) * 16;

/**
 * Bytes that the detection of changes by hashes needs in a guest's memory: for each thread that
 * scans, the key, and the hashes of a group of pages.
 */
export function hashScratchBytes(pageSize = 4096, threads = 1): number {
  return (
    integer('threads', threads, 1, 1024) *
    (up16(hashKeyLength(pageSize)) + GROUP_PAGES * HASH_LENGTH)
  );
}

/** Bytes that it needs in the arena. */
export function hashArenaBytes(pageSize: number): number {
  return hashScratchBytes(pageSize) + 2 * pageSize;
}

/** Bytes of the guest's memory that its owner has lent, for all threads that scan it. */
export interface Lent {
  /** Byte offset of all of them, and how many there are. */
  readonly offset: number;
  readonly bytes: number;
  /** Byte offset of this thread's own part: {@link hashScratchBytes} bytes. */
  readonly own: number;
}

/** Where hashes of what was sent are made; each tracker has its own. */
export interface HashArena {
  core: CoreExports;
  buffer: ArrayBufferLike;
  /**
   * Address of {@link hashArenaBytes} bytes, zero at first: for the key, hashes, a zero page, and
   * room for a page.
   */
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
  /** Bytes in the guest's memory that nothing else uses; without them they are borrowed. */
  scratch: Lent | undefined;
}

/**
 * 128 bits of each page that was sent. Pages are hashed where they are, so the key has to be in the
 * guest's memory for the time. Unless the caller sets bytes aside for it, they are borrowed during
 * each call: kept, used, and put back before the guest's thread does anything else, so that the
 * guest never sees it. Memory that other threads work on can't be borrowed.
 *
 * The key stays here: who knows it can make two contents of a page with one hash. A thread wipes it
 * when it has looked, but another one may copy pages meanwhile. So the bytes that were lent go out
 * as zeros, no matter what is in them ({@link blank}), and their pages are scanned in a copy.
 */
export class HashTracker implements Tracker {
  readonly #options: HashTrackerOptions;
  readonly #key: Uint8Array;
  readonly #zero: Uint32Array;
  readonly #kept: Uint8Array;

  /** @throws MultifdError ERR_OPTION for a memory in which the hashes can't be made. */
  constructor(options: HashTrackerOptions) {
    const { memory, pageSize, arena, scratch } = options;
    if (memory.core === undefined)
      throw new MultifdError(
        'ERR_OPTION',
        'hashes are made in WebAssembly memories: track other memory by compare',
      );
    if (scratch === undefined && memory.shared)
      throw new MultifdError(
        'ERR_OPTION',
        'hashes in shared memory need bytes of it that nobody else uses: give their offset ' +
          'as scratch, or track by compare',
      );
    const bytes = hashScratchBytes(pageSize);
    if (
      memory.bytes.length < 2 * bytes + 2 * pageSize ||
      (scratch !== undefined &&
        (scratch.own % 16 !== 0 || scratch.own < 0 || scratch.own + bytes > memory.bytes.length))
    ) {
      throw new MultifdError(
        'ERR_OPTION',
        `hashes need ${bytes} bytes of the memory's ${memory.bytes.length}, at a multiple of ` +
          '16: track by compare',
      );
    }
    this.#options = options;
    this.#key = options.key;
    new Uint8Array(arena.buffer).set(options.key, arena.address);
    this.#kept = new Uint8Array(bytes);
    if (scratch !== undefined) this.#wipe(scratch);
    this.#zero = this.#hashOfZeros();
  }

  changed(page: number, count: number, mask: Uint32Array): void {
    const { memory, pageSize, scratch } = this.#options;
    if (scratch !== undefined) return this.#lookAround(scratch, page, count, mask);
    // What is borrowed must not be what is hashed: the memory's end for pages of its first half,
    // its beginning for the others.
    const { length } = memory.bytes;
    const inFirstHalf = Math.max(0, Math.min(count, Math.floor(length / 2 / pageSize) - page));
    if (inFirstHalf > 0)
      this.#borrow(length - this.#kept.length, (at) => this.#scan(page, inFirstHalf, 0, at, mask));
    if (inFirstHalf < count)
      this.#borrow(0, (at) =>
        this.#scan(page + inFirstHalf, count - inFirstHalf, inFirstHalf, at, mask),
      );
  }

  blank(page: number, copy: Uint8Array): void {
    const { pageSize, scratch } = this.#options;
    if (scratch === undefined) return;
    const from = scratch.offset - page * pageSize;
    copy.fill(0, clamp(from, copy.length), clamp(from + scratch.bytes, copy.length));
  }

  sent(page: number, pages: number, _content: Uint8Array, address: number): void {
    const { arena, pageSize } = this.#options;
    const out = arena.address + up16(this.#key.length);
    arena.core.hashPages(address, pageSize, pages, arena.address, out);
    this.#segment(page).set(
      new Uint32Array(arena.buffer, out, 4 * pages),
      4 * (page % SEGMENT_PAGES),
    );
  }

  sentZero(page: number, pages: number): void {
    if (!this.#options.segments.has(Math.floor(page / SEGMENT_PAGES))) return;
    const segment = this.#segment(page);
    for (let p = page % SEGMENT_PAGES, end = p + pages; p < end; p++)
      segment.set(this.#zero, 4 * p);
  }

  /** Pages that have bytes which were lent are scanned in a copy, all others in place. */
  #lookAround(lent: Lent, page: number, count: number, mask: Uint32Array): void {
    const { pageSize } = this.#options;
    const first = clamp(Math.floor(lent.offset / pageSize) - page, count);
    const end = clamp(Math.ceil((lent.offset + lent.bytes) / pageSize) - page, count);
    const { own } = lent;
    try {
      if (first > 0) this.#scan(page, first, 0, own, mask);
      if (end < count) this.#scan(page + end, count - end, end, own, mask);
    } finally {
      this.#wipe(lent);
    }
    for (let bit = first; bit < end; bit++) {
      if (this.#copyChanged(page + bit)) setBit(mask, bit);
    }
  }

  /** This thread's part of what was lent. */
  #wipe({ own }: Lent): void {
    const { memory, pageSize } = this.#options;
    memory.bytes.fill(0, own, own + hashScratchBytes(pageSize));
  }

  #copyChanged(page: number): boolean {
    const { memory, arena, pageSize } = this.#options;
    const out = arena.address + up16(this.#key.length);
    const at = arena.address + hashScratchBytes(pageSize) + pageSize;
    const copy = new Uint8Array(arena.buffer, at, pageSize);
    copy.set(memory.bytes.subarray(page * pageSize, (page + 1) * pageSize));
    this.blank(page, copy);
    arena.core.hash(at, pageSize, arena.address, out);
    const { words, from } = this.#sentHashes(page);
    return !sameHash(new Uint32Array(arena.buffer, out, 4), 0, words, from);
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
  #scan(page: number, count: number, bit: number, at: number, mask: Uint32Array): void {
    const { memory, pageSize } = this.#options;
    const { bytes, core } = memory;
    bytes.set(this.#key, at);
    const out = at + up16(this.#key.length);
    core!.hashPages(page * pageSize, pageSize, count, at, out);
    const now = new Uint32Array(bytes.buffer, out, 4 * count);
    const { words, from, step } = this.#sentHashes(page);
    for (let i = 0; i < count; i++)
      if (!sameHash(now, 4 * i, words, from + step * i)) setBit(mask, bit + i);
  }

  /**
   * The hashes of what was sent of pages from `page` on, in its segment: words from `from` on,
   * `step` for each page.
   */
  #sentHashes(page: number): { words: Uint32Array; from: number; step: number } {
    const segment = this.#options.segments.get(Math.floor(page / SEGMENT_PAGES));
    if (segment === undefined) return { words: this.#zero, from: 0, step: 0 };
    return { words: new Uint32Array(segment.buffer), from: 4 * (page % SEGMENT_PAGES), step: 4 };
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

/** Whether four words from `at` on are those of `others` from `from` on. */
function sameHash(words: Uint32Array, at: number, others: Uint32Array, from: number): boolean {
  for (let word = 0; word < 4; word++) if (words[at + word] !== others[from + word]) return false;
  return true;
}

function clamp(value: number, most: number): number {
  return Math.max(0, Math.min(value, most));
}
