import { hashKeyLength } from '../../core/index.ts';
import type { GuestMemory } from '../guest-memory.ts';
import { BitmapTracker, type DirtyBitmap } from './bitmap.ts';
import { CompareTracker } from './compare.ts';
import { type HashArena, HashTracker, type Lent } from './hash.ts';

/** How many pages are scanned in one go: a megabyte of the usual size, some 80 microseconds. */
export const GROUP_PAGES = 256;
export const GROUP_WORDS = GROUP_PAGES / 32;

/**
 * Knows of each page of a block what the target has of it. Pages that were never sent are the
 * caller's to know. All calls about a page are made in one thread.
 */
export interface Tracker {
  /** A new scan of all pages begins. */
  begin?(): void;
  /**
   * Sets bit i of `mask` ({@link GROUP_WORDS} words, clear before) when page `page + i` is not what
   * was sent of it last.
   * @param count at most {@link GROUP_PAGES}; the pages are in the block.
   */
  changed(page: number, count: number, mask: Uint32Array): void;
  /**
   * Takes out of a copy of pages, from `page` on, what is not the guest's; called before {@link
   * sent}.
   */
  blank?(page: number, copy: Uint8Array): void;
  /**
   * The `pages` pages from `page` on, at most 32, are on their way: `content`, which does not
   * change any more, at `address` in the arena.
   */
  sent(page: number, pages: number, content: Uint8Array, address: number): void;
  /** They are on their way as zero pages. */
  sentZero(page: number, pages: number): void;
}

/**
 * The parts of a tracker that last from one migration to the next, and go from thread to thread
 * with it. Pages are kept by segments of this many.
 */
export const SEGMENT_PAGES = 4 * GROUP_PAGES;

/**
 * What is kept of the pages of one segment, by segment number; one that is missing has only zero
 * pages.
 */
export type Segments = Map<number, Uint8Array>;

/** A segment's bytes; in shared memory if other threads are to see it. */
export function newSegment(bytes: number, shared: boolean): Uint8Array {
  return new Uint8Array(shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
}

export function setBit(mask: Uint32Array, bit: number): void {
  mask[bit >> 5]! |= 1 << (bit & 31);
}

/**
 * What is kept of a block between scans of it, from one migration to the next.
 * Structured-cloneable, but for a caller's own dirty log.
 */
export type TrackerState =
  | { method: 'compare'; segments: Segments }
  | { method: 'hash'; segments: Segments; key: Uint8Array }
  | { method: 'bitmap'; log: DirtyBitmap };

/** As much as one call gives. */
const RANDOM_BYTES = 65536;

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += RANDOM_BYTES)
    crypto.getRandomValues(bytes.subarray(at, at + RANDOM_BYTES));
  return bytes;
}

/** For a block of which nothing was sent yet. */
export function emptyTrackerState(
  tracking: 'compare' | 'hash' | DirtyBitmap,
  pageSize: number,
): TrackerState {
  if (tracking === 'compare') return { method: 'compare', segments: new Map() };
  if (tracking === 'hash')
    return { method: 'hash', segments: new Map(), key: randomBytes(hashKeyLength(pageSize)) };
  return { method: 'bitmap', log: tracking };
}

/** @throws MultifdError ERR_OPTION for a memory that can't be tracked like this. */
export function createTracker(
  kept: TrackerState,
  memory: GuestMemory,
  pageSize: number,
  scratch: Lent | undefined,
  hashArena: HashArena,
): Tracker {
  if (kept.method === 'bitmap') return new BitmapTracker(kept.log);
  if (kept.method === 'compare') return new CompareTracker(memory, pageSize, kept.segments);
  return new HashTracker({
    memory,
    pageSize,
    segments: kept.segments,
    key: kept.key,
    arena: hashArena,
    scratch,
  });
}
