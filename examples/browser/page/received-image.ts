import type { ImagePlan, RandomAccess } from 'multifd';
import { type PageStates, ZERO } from './states.ts';

/** A part of the file that the image would be. */
interface Part {
  position: number;
  bytes: Uint8Array;
}

/**
 * What was received, as the file that it would be, to be read anywhere.
 * @param pages each block's memory.
 */
export function receivedImage(
  name: string,
  plan: ImagePlan,
  pages: readonly Uint8Array[],
  states: readonly PageStates[],
  tail: Uint8Array,
): RandomAccess {
  const parts: Part[] = [
    ...plan.pieces,
    ...plan.blocks.map(({ bitmapOffset, bitmapLength }, index) => ({
      position: bitmapOffset,
      bytes: bitmapOf(states[index]!, bitmapLength),
    })),
    ...plan.blocks.map(({ pagesOffset }, index) => ({
      position: pagesOffset,
      bytes: pages[index]!,
    })),
    { position: plan.tailOffset, bytes: tail },
  ].sort((a, b) => a.position - b.position);
  const size = plan.tailOffset + tail.length;
  return {
    name,
    size,
    async read(offset, into) {
      const end = Math.min(offset + into.length, size);
      if (end <= offset) return 0;
      // Between the parts the file has zeros.
      into.fill(0, 0, end - offset);
      for (const { position, bytes } of parts) {
        const from = Math.max(offset, position);
        const to = Math.min(end, position + bytes.length);
        if (from < to) into.set(bytes.subarray(from - position, to - position), from - offset);
      }
      return end - offset;
    },
    async close() {},
  };
}

/** One bit for each page that has content. */
function bitmapOf({ codes }: PageStates, length: number): Uint8Array {
  const bitmap = new Uint8Array(length);
  for (const [page, code] of codes.entries())
    if (code > ZERO) bitmap[page >> 3]! |= 1 << (page & 7);
  return bitmap;
}
