import type { ImagePlan } from 'multifd/image';
import type { ImageStore, PageSink } from 'multifd/workerd';
import { type ImageParts, type ImageRecord, partsOf, StoredImage } from './stored-image.ts';
import { deleteAll, type Storage } from './storage.ts';

/** The key of the image that is held, and of the one that is being received. */
export const HELD = 'held';
export const ARRIVING = 'arriving';

/**
 * Takes a new image into the storage. It counts only once it is complete; until then the one that
 * is held stays. Pages of zeros are never stored, and those that become zero are deleted. Of the
 * whole image only the bitmaps are in memory: 32 KiB for each GiB.
 */
export function imageIntake(storage: Storage, completed: (image: StoredImage) => void): ImageStore {
  const id = crypto.randomUUID();
  let begun: { plan: ImagePlan; parts: ImageParts; bitmaps: readonly Uint8Array[] } | undefined;
  return {
    async begin(plan) {
      const parts = partsOf(storage, { id, plan });
      const bitmaps = plan.blocks.map(({ bitmapLength }) => new Uint8Array(bitmapLength));
      begun = { plan, parts, bitmaps };
      await storage.put({ [ARRIVING]: id });
      return plan.blocks.map(
        (_, index): PageSink => pageSink(parts.pages[index]!, bitmaps[index]!),
      );
    },
    async commit(tail) {
      const { plan, parts, bitmaps } = begun!;
      for (const [index, bitmap] of bitmaps.entries()) await parts.bitmaps[index]!.write(0, bitmap);
      await parts.tail.write(0, tail);
      const record: ImageRecord = { id, plan, tailLength: tail.length };
      await storage.put({ [HELD]: record });
      await storage.delete([ARRIVING]);
      completed(new StoredImage(storage, record));
    },
    async discard() {
      await discardArriving(storage);
    },
  };
}

/** Deletes what came of an image that never was complete. */
export async function discardArriving(storage: Storage): Promise<void> {
  const id = await storage.get<string>(ARRIVING);
  if (id === undefined) return;
  await deleteAll(storage, `${id}/`);
  await storage.delete([ARRIVING]);
}

function pageSink(pages: ImageParts['pages'][number], bitmap: Uint8Array): PageSink {
  const { pieceLength } = pages;
  const isPresent = (page: number): boolean => (bitmap[page >> 3]! & (1 << (page & 7))) !== 0;
  const clear = async (numbers: readonly number[]): Promise<void> => {
    const stored = numbers.filter(isPresent);
    for (const page of stored) bitmap[page >> 3]! &= ~(1 << (page & 7));
    await pages.clear(stored);
  };
  return {
    async write(offset, content) {
      const first = offset / pieceLength;
      const present = await pages.write(offset, content);
      const zero: number[] = [];
      for (const [index, there] of present.entries()) {
        const page = first + index;
        if (there) bitmap[page >> 3]! |= 1 << (page & 7);
        else zero.push(page);
      }
      await clear(zero);
    },
    async zero(offset, length) {
      await clear(
        Array.from({ length: length / pieceLength }, (_, index) => offset / pieceLength + index),
      );
    },
  };
}
