import type { GuestMemory } from '../guest-memory.ts';
import { GROUP_PAGES, GROUP_WORDS, SEGMENT_PAGES, type Tracker } from '../tracking/tracker.ts';
import type { Batches } from './batches.ts';
import type { Slices } from './slices.ts';

/** One block, as the thread that scans it has it. */
export interface TrackedBlock {
  /** Its number in the migration's block list. */
  index: number;
  memory: GuestMemory;
  tracker: Tracker;
}

/** How far a block goes in one pass, in pages. */
export interface Extent {
  /** What the target knows of. */
  pages: number;
  /** Pages up to here have been sent before: they are only sent if they have changed. */
  known: number;
}

export interface PassOptions {
  blocks: readonly TrackedBlock[];
  /** By block number. */
  extents: readonly Extent[];
  pageSize: number;
  /** For pages with content, and for zero pages. */
  normal: Batches;
  zero: Batches;
  /** The guest's turns, if this is its thread. */
  slices: Slices | undefined;
  /** Called before a batch goes: may wait, so that no more is sent than may be. */
  allow: () => Promise<void> | undefined;
  alive: () => boolean;
  /** Told of each group of pages that was scanned. */
  onScanned: (pages: number) => void;
  /**
   * This thread's part of all segments: those whose number leaves the remainder `part` when divided
   * by `parts`.
   */
  part: number;
  parts: number;
}

/** In pages. */
export interface PassCount {
  scanned: number;
  /** Those of them that had changed. */
  dirty: number;
  /** Those of the dirty ones that are zero. */
  zero: number;
}

/**
 * Scans every page once, and sends those that the target does not have as they are. A page is
 * copied into a slot in the moment it is found: what is sent is what the tracker compares with from
 * then on, so that a change that comes later, or while it is being copied, is found by the next
 * pass.
 * @returns what it did; less than all when the engine has failed.
 */
export async function pass(options: PassOptions): Promise<PassCount> {
  const count: PassCount = { scanned: 0, dirty: 0, zero: 0 };
  const { normal, zero, slices, alive } = options;
  slices?.begin();
  for (const block of options.blocks) {
    block.memory.refresh();
    block.tracker.begin?.();
    if (!(await passBlock(block, options.extents[block.index]!, options, count))) return count;
  }
  for (const batches of [zero, normal]) {
    if (!alive() || !(await send(batches, options))) return count;
  }
  return count;
}

async function passBlock(
  block: TrackedBlock,
  { pages, known }: Extent,
  options: PassOptions,
  count: PassCount,
): Promise<boolean> {
  const { slices, alive, part, parts } = options;
  const mask = new Uint32Array(GROUP_WORDS);
  for (let page = 0; page < pages; page += GROUP_PAGES) {
    if (Math.floor(page / SEGMENT_PAGES) % parts !== part) continue;
    if (!alive()) return false;
    if (slices?.over === true) await slices.next();
    const inGroup = Math.min(GROUP_PAGES, pages - page);
    const old = Math.max(0, Math.min(inGroup, known - page));
    mask.fill(0);
    if (old > 0) block.tracker.changed(page, old, mask);
    for (let i = old; i < inGroup; i++) mask[i >> 5]! |= 1 << (i & 31);
    count.scanned += inGroup;
    options.onScanned(inGroup);
    for (let word = 0; word < GROUP_WORDS; word++) {
      if (
        mask[word] !== 0 &&
        !(await sendPages(block, page + 32 * word, mask[word]!, options, count))
      )
        return false;
    }
  }
  return true;
}

/** @param dirty which of the 32 pages from `first` on have changed. */
async function sendPages(
  block: TrackedBlock,
  first: number,
  dirty: number,
  options: PassOptions,
  count: PassCount,
): Promise<boolean> {
  const { pageSize, normal, zero, slices } = options;
  const { index, memory, tracker } = block;
  for (let left = dirty; left !== 0; ) {
    if (slices?.over === true) await slices.next();
    // The first pages that follow each other, and are all zero or all not. Asked again after each
    // wait: the guest may have written to them meanwhile.
    const at = lowestBit(left);
    const run = lowestBit(~(left >>> at));
    const zeros = memory.core?.zeroMask((first + at) * pageSize, pageSize, run) ?? 0;
    const isZero = (zeros & 1) !== 0;
    const alike = Math.min(run, lowestBit(isZero ? ~zeros : zeros));
    const batches = isZero ? zero : normal;
    const pages = Math.min(alike, batches.room(index));
    if (pages === 0) {
      const sent = send(batches, options);
      if (!(typeof sent === 'boolean' ? sent : await sent)) return false;
      continue;
    }
    const page = first + at;
    const offset = page * pageSize;
    if (isZero) {
      zero.add(index, offset, pageSize, pages);
      tracker.sentZero(page, pages);
      count.zero += pages;
    } else {
      const { copy, address } = normal.add(
        index,
        offset,
        pageSize,
        pages,
        memory.bytes.subarray(offset, offset + pages * pageSize),
      );
      tracker.blank?.(page, copy);
      tracker.sent(page, pages, copy, address);
    }
    count.dirty += pages;
    left &= ~(bits(pages) << at);
  }
  return true;
}

/** 32 for none. */
function lowestBit(word: number): number {
  return word === 0 ? 32 : 31 - Math.clz32(word & -word);
}

/** The lowest `count` bits. */
function bits(count: number): number {
  return count === 32 ? -1 : (1 << count) - 1;
}

function send(batches: Batches, { slices, allow }: PassOptions): boolean | Promise<boolean> {
  const wait = allow();
  if (wait !== undefined) return sendAfter(wait, batches, slices);
  const sent = batches.send();
  return typeof sent === 'boolean' || slices === undefined ? sent : slices.during(sent);
}

async function sendAfter(
  wait: Promise<void>,
  batches: Batches,
  slices: Slices | undefined,
): Promise<boolean> {
  await (slices === undefined ? wait : slices.aside(wait));
  const sent = batches.send();
  return typeof sent === 'boolean' || slices === undefined ? sent : slices.during(sent);
}
