import type { ImagePlan, RandomAccess } from 'multifd/image';
import { MultifdError } from 'multifd/workerd';
import { KeyedBytes } from './keyed-bytes.ts';
import type { Storage } from './storage.ts';

/** What is kept of an image beside its bitmaps, pages and tail. */
export interface ImageRecord {
  /** Its keys begin with it; nobody else's do. */
  readonly id: string;
  readonly plan: ImagePlan;
  /** Bytes. */
  readonly tailLength: number;
}

/**
 * Small enough for one value of a storage, large enough that a bitmap has few of them: it stands
 * for 2 GiB of 4 KiB pages.
 */
const PIECE = 64 * 1024;
/** The most that is in memory for one reader. */
const READ = 512 * 1024;

/** Where an image's parts are kept. */
export interface ImageParts {
  readonly bitmaps: readonly KeyedBytes[];
  readonly pages: readonly KeyedBytes[];
  readonly tail: KeyedBytes;
}

export function partsOf(
  storage: Storage,
  { id, plan: { blocks, pageSize } }: Pick<ImageRecord, 'id' | 'plan'>,
): ImageParts {
  return {
    bitmaps: blocks.map((_, index) => new KeyedBytes(storage, `${id}/bitmap/${index}/`, PIECE)),
    pages: blocks.map((_, index) => new KeyedBytes(storage, `${id}/page/${index}/`, pageSize)),
    tail: new KeyedBytes(storage, `${id}/tail/`, PIECE),
  };
}

/** A part of the image, in bytes. */
interface Region {
  readonly position: number;
  readonly length: number;
  read(offset: number, into: Uint8Array): void | Promise<void>;
}

/** A stored image, byte for byte as a mapped-ram file has it; holes are zeros. */
export class StoredImage implements RandomAccess {
  readonly name = 'the stored image';
  readonly id: string;
  readonly size: number;
  /** By position. */
  readonly #regions: readonly Region[];
  #replaced = false;

  constructor(storage: Storage, record: ImageRecord) {
    const { plan, tailLength } = record;
    const { bitmaps, pages, tail } = partsOf(storage, record);
    const keyed = (position: number, length: number, bytes: KeyedBytes): Region => ({
      position,
      length,
      read: (offset, into) => bytes.read(offset, into),
    });
    this.id = record.id;
    this.size = plan.tailOffset + tailLength;
    this.#regions = [
      ...plan.pieces.map(({ position, bytes }) => ({
        position,
        length: bytes.length,
        read: (offset: number, into: Uint8Array) =>
          into.set(bytes.subarray(offset, offset + into.length)),
      })),
      ...plan.blocks.map(({ bitmapOffset, bitmapLength }, index) =>
        keyed(bitmapOffset, bitmapLength, bitmaps[index]!),
      ),
      ...plan.blocks.map(({ pagesOffset, usedLength }, index) =>
        keyed(pagesOffset, usedLength, pages[index]!),
      ),
      keyed(plan.tailOffset, tailLength, tail),
    ].sort((one, other) => one.position - other.position);
  }

  /**
   * Makes every read fail from now on: the keys are going to be deleted, and what has none reads as
   * zeros.
   */
  replace(): void {
    this.#replaced = true;
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const piece = into.subarray(0, Math.max(0, Math.min(into.length, this.size - offset, READ)));
    piece.fill(0);
    for (const { position, length, read } of this.#regions) {
      const start = Math.max(offset, position);
      const end = Math.min(offset + piece.length, position + length);
      if (start < end) await read(start - position, piece.subarray(start - offset, end - offset));
    }
    if (this.#replaced)
      throw new MultifdError('ERR_IO', 'the stored image was replaced while it was being read');
    return piece.length;
  }

  async close(): Promise<void> {}
}
