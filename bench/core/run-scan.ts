/**
 * Measures how fast a live migration's scan goes over memory that has not changed, by comparison:
 * MiB is the argument, GiB a second go to standard output.
 */
import { GuestMemory } from '../../src/live/guest-memory.ts';
import { CompareTracker } from '../../src/live/tracking/compare.ts';
import {
  GROUP_PAGES,
  GROUP_WORDS,
  SEGMENT_PAGES,
  type Segments,
} from '../../src/live/tracking/tracker.ts';
import { PAGE } from './ground.ts';
import { speedOf } from './measure-kernel.ts';

const pages = (Number(process.argv[2]) * 2 ** 20) / PAGE;
const ram = new Uint8Array(pages * PAGE).fill(0x5a);
const segments: Segments = new Map();
for (let page = 0; page < pages; page += SEGMENT_PAGES)
  segments.set(page / SEGMENT_PAGES, new Uint8Array(SEGMENT_PAGES * PAGE).fill(0x5a));
const tracker = new CompareTracker(new GuestMemory(ram, {}), PAGE, segments);
const mask = new Uint32Array(GROUP_WORDS);

console.log(
  await speedOf(
    () => {
      for (let page = 0; page < pages; page += GROUP_PAGES)
        tracker.changed(page, GROUP_PAGES, mask);
      if (mask.some((word) => word !== 0)) throw new Error('a page is not what it was filled with');
      return (pages * PAGE) / 2 ** 30;
    },
    () => performance.now(),
  ),
);
