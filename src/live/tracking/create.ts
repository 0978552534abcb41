import { hashKeyLength } from '../../core/index.ts';
import type { GuestMemory } from '../guest-memory.ts';
import { BitmapTracker, type DirtyBitmap } from './bitmap.ts';
import { CompareTracker } from './compare.ts';
import { type HashArena, HashTracker, type Lent } from './hash.ts';
import type { Segments, Tracker } from './tracker.ts';

/**
 * What is kept of a block between looks at it, from one migration to the next.
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
