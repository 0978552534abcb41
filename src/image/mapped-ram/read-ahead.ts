import { runsOf } from './bitmap.ts';
import type { ImageBlock, ImageReader } from '../formats.ts';
import type { BlockSourceSpec } from '../../blocks/page-sources.ts';
import { fileDescriptor, type OpenBlock } from '../../blocks/sources.ts';

/** At least the largest page. */
const PIECE = 1024 * 1024;
/**
 * Reads on their way at a time: of a file, one while the other is being used; over a network each
 * takes a round trip, and browsers make no more than six to a server.
 */
const LANES = { file: 2, other: 6 } as const;

/** Neighbouring pages of a block. */
export interface Pages {
  /** Where in the block, in bytes. */
  readonly offset: number;
  /** Valid until the next ones are asked for. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Reads the pages of a block whose bits are set, in order and ahead of who takes them; nothing else
 * is read. Neighbours come together, up to 1 MiB at a time.
 *
 * @param from where in the block to begin, in bytes, on a page.
 * @throws what readPages throws.
 */
export async function* readAhead(
  image: ImageReader,
  block: ImageBlock,
  bitmap: Uint8Array,
  from = 0,
): AsyncGenerator<Pages> {
  const lanes = image.fd === undefined ? LANES.other : LANES.file;
  const reads: Promise<Pages>[] = [];
  const free: ArrayBuffer[] = [];
  for (const { offset, length } of pieces(bitmap, block.usedLength, image.pageSize)) {
    if (offset + length <= from) continue;
    const start = Math.max(offset, from);
    const bytes = new Uint8Array(free.pop() ?? new ArrayBuffer(PIECE), 0, offset + length - start);
    const read = image.readPages(block, start, bytes).then(() => ({ offset: start, bytes }));
    read.catch(() => {}); // its taker is told
    reads.push(read);
    if (reads.length < lanes) continue;
    const taken = await reads.shift()!;
    yield taken;
    free.push(taken.bytes.buffer);
  }
  yield* reads;
}

function* pieces(
  bitmap: Uint8Array,
  usedLength: number,
  pageSize: number,
): Generator<{ offset: number; length: number }> {
  for (const { start, end } of runsOf(bitmap, usedLength / pageSize)) {
    for (let offset = start * pageSize; offset < end * pageSize; offset += PIECE)
      yield { offset, length: Math.min(PIECE, end * pageSize - offset) };
  }
}

/**
 * A block's content, zeros where pages are not present, for a reader that goes from its
 * beginning to its end.
 */
export class BlockContent {
  readonly #image: ImageReader;
  readonly #block: ImageBlock;
  readonly #bitmap: Uint8Array;
  #pages: AsyncGenerator<Pages> | undefined;
  /** What is being taken from; undefined: not known yet, null: there is no more. */
  #next: Pages | null | undefined;
  #position = 0;

  constructor(image: ImageReader, block: ImageBlock, bitmap: Uint8Array) {
    this.#image = image;
    this.#block = block;
    this.#bitmap = bitmap;
  }

  /**
   * Fills `into` with what is at byte `offset`, a page's beginning. One call at a time. Throws what
   * readPages throws.
   */
  async read(offset: number, into: Uint8Array): Promise<void> {
    if (this.#pages === undefined || offset !== this.#position) {
      this.#pages = readAhead(this.#image, this.#block, this.#bitmap, offset);
      this.#next = undefined;
    }
    const end = offset + into.length;
    for (let at = offset; at < end; ) {
      const next = await this.#peek(this.#pages);
      const start = Math.min(end, next?.offset ?? end);
      if (next === null || at < start) {
        into.fill(0, at - offset, start - offset);
        at = start;
      } else {
        const piece = next.bytes.subarray(at - next.offset, end - next.offset);
        into.set(piece, at - offset);
        at += piece.length;
        if (at === next.offset + next.bytes.length) this.#next = undefined;
      }
    }
    this.#position = end;
  }

  async #peek(pages: AsyncGenerator<Pages>): Promise<Pages | null> {
    if (this.#next === undefined) {
      const { value, done } = await pages.next();
      this.#next = done === true ? null : value;
    }
    return this.#next as Pages | null;
  }
}

/**
 * A block of an image, without its zero pages. The image is the caller's to verify and to close.
 */
export function imageBlock(image: ImageReader, block: ImageBlock, bitmap: Uint8Array): OpenBlock {
  const { id, usedLength: length, pagesOffset: position } = block;
  const { fd, name } = image;
  const content = new BlockContent(image, block, bitmap);
  const descriptor: BlockSourceSpec =
    fd === undefined
      ? { kind: 'staged' }
      : fileDescriptor({ fd, name, position, length, sparse: true });
  return {
    id,
    byteLength: length,
    descriptor,
    // Pages that are read here come with zeros for what is not present.
    ...(descriptor.kind === 'file' && { bitmap }),
    present: bitmap,
    readAnywhere: (offset, into) => image.readPages(block, offset, into),
    read: (offset, into) => content.read(offset, into),
    close() {},
  };
}
