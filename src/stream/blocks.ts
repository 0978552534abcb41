import type { ByteReader } from './byte-reader.ts';
import {
  bitmapLength,
  isPageSize,
  MAPPED_RAM_ALIGNMENT,
  MAPPED_RAM_HEADER_LENGTH,
  MAPPED_RAM_VERSION,
  MAX_PAGE_SIZE,
  MIN_PAGE_SIZE,
} from './constants.ts';
import { readName } from './names.ts';

/** Where a mapped-ram file has a block. Positions are absolute in the file. */
export interface MappedRegion {
  /** Bytes per page. */
  readonly pageSize: number;
  /**
   * Position of the bitmap: one bit per page, in little-endian 64-bit words; a set bit means the
   * page is in the file.
   */
  readonly bitmapOffset: number;
  /** Position of page 0; page p is at `pagesOffset + p * pageSize`. */
  readonly pagesOffset: number;
}

/** One contiguous piece of the source's memory. */
export interface RamBlock {
  /** 1 to 255 bytes of UTF-8 without control characters; QEMU's own ids contain slashes. */
  readonly id: string;
  /** Bytes; a multiple of the page size. */
  readonly usedLength: number;
  /** Only in mapped-ram files. */
  readonly mapped?: MappedRegion;
}

export interface BlockLimits {
  /** Bytes per page; undefined takes what the mapped-ram headers say. */
  readonly pageSize: number | undefined;
  /** The most bytes that all blocks together may have. */
  readonly maxBytes: number;
  readonly maxBlocks: number;
  readonly mappedRam: boolean;
}

/**
 * The block list that follows a MEM_SIZE word, until the lengths add up to `total` bytes:
 *
 *     u8 length, id | be64 used length
 *     be32 version 1 | be64 page size | be64 bitmap offset | be64 pages offset  (mapped-ram only)
 *
 * With mapped-ram the next entry follows the block's pages.
 *
 * @throws MultifdError ERR_BLOCK for names and their number, ERR_BLOCK_LENGTH for lengths,
 *   ERR_VERSION and ERR_IMAGE for mapped-ram headers.
 */
export async function parseBlocks(
  reader: ByteReader,
  total: number,
  limits: BlockLimits,
): Promise<RamBlock[]> {
  if (total > limits.maxBytes) {
    throw reader.error(
      'ERR_BLOCK_LENGTH',
      `${total} bytes of memory; at most ${limits.maxBytes} are allowed here`,
    );
  }
  const blocks: RamBlock[] = [];
  const ids = new Set<string>();
  let { pageSize } = limits;
  let sum = 0;
  while (sum < total) {
    const at = reader.position;
    if (blocks.length === limits.maxBlocks) {
      throw reader.error('ERR_BLOCK', `more than ${limits.maxBlocks} blocks`, at);
    }
    const id = await readName(reader, 'a RAM block', 'ERR_BLOCK');
    if (ids.has(id)) throw reader.error('ERR_BLOCK', `the block ${id} comes twice`, at);
    ids.add(id);
    await reader.ensure(8);
    const usedLength = reader.u64();
    sum += usedLength;
    if (sum > total) {
      throw reader.error(
        'ERR_BLOCK_LENGTH',
        `with the block ${id} the lengths add up to ${sum}, beyond the total of ${total}`,
        at,
      );
    }
    const mapped = limits.mappedRam
      ? await parseMappedRegion(reader, id, usedLength, pageSize)
      : undefined;
    pageSize ??= mapped?.pageSize ?? MIN_PAGE_SIZE;
    if (usedLength % pageSize !== 0) {
      throw reader.error(
        'ERR_BLOCK_LENGTH',
        `the block ${id} has ${usedLength} bytes, not a multiple of the ${pageSize}-byte page`,
        at,
      );
    }
    blocks.push(mapped === undefined ? { id, usedLength } : { id, usedLength, mapped });
    if (mapped !== undefined) reader.skipTo(mapped.pagesOffset + usedLength);
  }
  return blocks;
}

/**
 * The block list once more, in a later section: the same blocks, none of them shorter.
 *
 * @throws MultifdError as {@link parseBlocks}; ERR_BLOCK for other blocks or another order,
 *   ERR_BLOCK_LENGTH for one that has become shorter.
 */
export async function parseGrownBlocks(
  reader: ByteReader,
  total: number,
  limits: BlockLimits,
  before: readonly RamBlock[],
): Promise<RamBlock[]> {
  const at = reader.position;
  const blocks = await parseBlocks(reader, total, limits);
  for (const [index, { id, usedLength }] of before.entries()) {
    const block = blocks[index];
    if (block?.id !== id) {
      throw reader.error(
        'ERR_BLOCK',
        `block ${index} was ${id}, and is ${block?.id ?? 'missing'} in a later block list, ` +
          'where lengths are all that may change',
        at,
      );
    }
    if (block.usedLength < usedLength)
      throw reader.error(
        'ERR_BLOCK_LENGTH',
        `the block ${id} shrinks from ${usedLength} to ${block.usedLength} bytes; blocks can ` +
          'only grow',
        at,
      );
  }
  if (blocks.length > before.length)
    throw reader.error(
      'ERR_BLOCK',
      `a later block list has ${blocks.length} blocks, the first one ${before.length}`,
      at,
    );
  return blocks;
}

/**
 * The header, its bitmap and its pages must follow one another, so that no two regions of the file
 * can overlap.
 */
async function parseMappedRegion(
  reader: ByteReader,
  id: string,
  usedLength: number,
  expectedPageSize: number | undefined,
): Promise<MappedRegion> {
  const at = reader.position;
  await reader.ensure(MAPPED_RAM_HEADER_LENGTH);
  const version = reader.u32();
  if (version !== MAPPED_RAM_VERSION) {
    throw reader.error(
      'ERR_VERSION',
      `the mapped-ram header of ${id} has version ${version}; only ${MAPPED_RAM_VERSION} is known`,
      at,
    );
  }
  const pageSize = reader.u64();
  const bitmapOffset = reader.u64();
  const pagesOffset = reader.u64();
  if (expectedPageSize === undefined ? !isPageSize(pageSize) : pageSize !== expectedPageSize) {
    const expected = expectedPageSize ?? `a power of two from ${MIN_PAGE_SIZE} to ${MAX_PAGE_SIZE}`;
    throw reader.error(
      'ERR_IMAGE',
      `the block ${id} has pages of ${pageSize} bytes; expected ${expected}`,
      at,
      'page_size',
    );
  }
  if (bitmapOffset < reader.position) {
    throw reader.error(
      'ERR_IMAGE',
      `the bitmap of ${id} at ${bitmapOffset} overlaps what comes before it`,
      at,
      'bitmap_offset',
    );
  }
  const bitmapEnd = bitmapOffset + bitmapLength(usedLength, pageSize);
  if (pagesOffset < bitmapEnd || pagesOffset % MAPPED_RAM_ALIGNMENT !== 0) {
    throw reader.error(
      'ERR_IMAGE',
      `the pages of ${id} at ${pagesOffset} are not on a 1 MiB boundary at or after ` +
        `${bitmapEnd}, the end of its bitmap`,
      at,
      'pages_offset',
    );
  }
  if (pagesOffset + usedLength > Number.MAX_SAFE_INTEGER) {
    throw reader.error('ERR_IMAGE', `the pages of ${id} end beyond any file`, at, 'pages_offset');
  }
  return { pageSize, bitmapOffset, pagesOffset };
}
