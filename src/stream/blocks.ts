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
  /**
   * Bytes of the pages that the source's memory is made of, where it has said so: larger ones than
   * usual (huge pages), of a source with postcopy.
   */
  readonly hostPageSize?: number;
  /** Where the guest has it, in bytes; only under x-ignore-shared. */
  readonly address?: number;
  /**
   * Only in mapped-ram files; and there none for a block that x-ignore-shared has left out, whose
   * content is not in the file.
   */
  readonly mapped?: MappedRegion;
}

export interface BlockLimits {
  /** Bytes per page; undefined takes what the mapped-ram headers say. */
  readonly pageSize: number | undefined;
  /** The most bytes that all blocks together may have. */
  readonly maxBytes: number;
  readonly maxBlocks: number;
  readonly mappedRam: boolean;
  /** Entries have the block's address. */
  readonly ignoreShared: boolean;
  /**
   * The bitwise or of all page sizes that the source's memory is made of, in bytes, as
   * POSTCOPY_ADVISE says it; 0 if it has not come.
   */
  readonly hostPageSizes: number;
}

/**
 * The block list that follows a MEM_SIZE word, until the lengths add up to `total` bytes:
 *
 *     u8 length, id | be64 used length
 *     be64 page size of the host's memory  (behind POSTCOPY_ADVISE, and for huge pages only)
 *     be64 guest physical address          (x-ignore-shared only)
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
    const hostPageSize = await parseHostPageSize(reader, limits);
    if (limits.ignoreShared) await reader.ensure(8);
    const address = limits.ignoreShared ? reader.u64() : undefined;
    const mapped = limits.mappedRam
      ? await parseMappedRegion(reader, id, usedLength, pageSize, limits.ignoreShared)
      : undefined;
    pageSize ??= mapped?.pageSize;
    const multiple = pageSize ?? MIN_PAGE_SIZE;
    if (usedLength % multiple !== 0) {
      throw reader.error(
        'ERR_BLOCK_LENGTH',
        `the block ${id} has ${usedLength} bytes, not a multiple of the ${multiple}-byte page`,
        at,
      );
    }
    blocks.push({
      id,
      usedLength,
      ...(hostPageSize !== undefined && { hostPageSize }),
      ...(address !== undefined && { address }),
      ...(mapped !== undefined && { mapped }),
    });
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

/** Pages of the host's memory from here on are huge; below, and up to here, it has no word. */
const USUAL_HOST_PAGE = 64 * 1024;

/**
 * The page size in a block's entry, if it is there: a power of two that POSTCOPY_ADVISE has told
 * of. What is in its place otherwise is the address, the next entry, whose length is not 0, or
 * the word behind the last one, which has no more than flags.
 */
async function parseHostPageSize(
  reader: ByteReader,
  { hostPageSizes, ignoreShared }: BlockLimits,
): Promise<number | undefined> {
  if (hostPageSizes < USUAL_HOST_PAGE) return undefined;
  await reader.ensure(8);
  const word = (at: number): number =>
    at + 8 > reader.buffered ? 0 : Number(viewOf(reader.ahead()).getBigUint64(at));
  const size = word(0);
  const told = Number.isInteger(Math.log2(size)) && Math.floor(hostPageSizes / size) % 2 === 1;
  if (!told || size < USUAL_HOST_PAGE) return undefined;
  if (!ignoreShared) return reader.u64();
  // It may be an address. Behind one comes an entry, or a word that is no multiple of a page.
  await reader.ensure(16);
  const next = word(8);
  const isAddress = next < 2 ** 53 && next % MIN_PAGE_SIZE === 0;
  return isAddress ? reader.u64() : undefined;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
  ignoreShared: boolean,
): Promise<MappedRegion | undefined> {
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
  if (ignoreShared && bitmapOffset === 0 && pagesOffset === 0) return undefined;
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
