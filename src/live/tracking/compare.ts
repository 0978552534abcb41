import { sameBytes } from '../../util/compare.ts';
import type { GuestMemory } from '../guest-memory.ts';
import { newSegment, SEGMENT_PAGES, type Segments, setBit, type Tracker } from './tracker.ts';

/** Compared in one go before its pages are compared one by one. */
const SPAN_PAGES = 32;

/**
 * Exact: a shadow copy of all that was sent, as large as the pages that are not zero.
 *
 * The shadow can't be in the guest's own memory, whose allocator would take it for free space, and
 * a WebAssembly instance has one memory: so this comparison is the runtime's memcmp over both, in
 * place.
 */
export class CompareTracker implements Tracker {
  readonly #memory: GuestMemory;
  readonly #pageSize: number;
  readonly #segments: Segments;
  readonly #zeros: Uint8Array;

  /** @param segments what an earlier tracker kept; changed by this one. */
  constructor(memory: GuestMemory, pageSize: number, segments: Segments) {
    this.#memory = memory;
    this.#pageSize = pageSize;
    this.#segments = segments;
    this.#zeros = new Uint8Array(SPAN_PAGES * pageSize);
  }

  changed(page: number, count: number, mask: Uint32Array): void {
    const { bytes } = this.#memory;
    const size = this.#pageSize;
    for (let span = 0; span < count; span += SPAN_PAGES) {
      const pages = Math.min(SPAN_PAGES, count - span);
      const at = (page + span) * size;
      const shadow = this.#segments.get(Math.floor((page + span) / SEGMENT_PAGES));
      const other = shadow ?? this.#zeros;
      const from = shadow === undefined ? 0 : ((page + span) % SEGMENT_PAGES) * size;
      if (sameBytes(bytes, at, other, from, pages * size)) continue;
      for (let i = 0; i < pages; i++) {
        const start = at + i * size;
        if (!sameBytes(bytes, start, other, from + i * size, size)) setBit(mask, span + i);
      }
    }
  }

  sent(page: number, _pages: number, content: Uint8Array): void {
    const number = Math.floor(page / SEGMENT_PAGES);
    let segment = this.#segments.get(number);
    if (segment === undefined) {
      segment = newSegment(SEGMENT_PAGES * this.#pageSize, this.#memory.shared);
      this.#segments.set(number, segment);
    }
    segment.set(content, (page % SEGMENT_PAGES) * this.#pageSize);
  }

  sentZero(page: number, pages: number): void {
    const at = (page % SEGMENT_PAGES) * this.#pageSize;
    this.#segments.get(Math.floor(page / SEGMENT_PAGES))?.fill(0, at, at + pages * this.#pageSize);
  }
}
