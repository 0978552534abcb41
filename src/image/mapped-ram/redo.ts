import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { bitmapLength, isPageSize } from '../../stream/index.ts';
import { hasBitsPast } from './bitmap.ts';
import { io, readFully, writeFully } from '../../files/io.ts';
import type { PlannedBlock } from './layout.ts';
import { copyPages, copyRange } from './finish-update.ts';

/**
 * The suffixes of an update's two hidden files, which are called the same otherwise: the sidecar,
 * and the image meanwhile.
 */
export const SIDECAR = '.update';
export const SET_ASIDE = '.image';

/**
 * What an update has to copy from its sidecar into the image, each byte to where it is in the
 * sidecar.
 */
export interface Redo {
  /**
   * Of two that were cut off the one with the higher is the later one; 0 for a record of version 1,
   * which has none.
   */
  readonly ordinal: number;
  /** The image's name in its folder. */
  readonly image: string;
  readonly pageSize: number;
  /** The bitmaps are copied whole. */
  readonly blocks: ReadonlyArray<Omit<PlannedBlock, 'id'>>;
  /** The tail, which is copied whole and where the image ends. Bytes. */
  readonly tailOffset: number;
  readonly tailLength: number;
  /** The pages to copy: a bitmap per block. */
  readonly pages: readonly Uint8Array[];
}

/** Version 1 had no ordinal. */
const VERSION = 2;
const MAGIC = Buffer.from('MFDREDO\0');
const HASH_LENGTH = 32;
const FOOTER_LENGTH = MAGIC.length + 8 + HASH_LENGTH;
/** Far more than any block list needs. */
const MAX_LENGTH = 256 * 1024 * 1024;

/**
 * Writes the record at the sidecar's end, behind the tail:
 *
 *     a bitmap per block | JSON | "MFDREDO\0", be32 bytes of bitmaps, be32 bytes of JSON, SHA-256
 *     of both
 *
 * @throws MultifdError ERR_IO.
 */
export async function writeRedo(handle: FileHandle, { pages, ...rest }: Redo): Promise<void> {
  const bitmaps = Buffer.concat(pages);
  const json = Buffer.from(JSON.stringify({ version: VERSION, ...rest }));
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32BE(bitmaps.length, 0);
  lengths.writeUInt32BE(json.length, 4);
  const record = Buffer.concat([bitmaps, json, MAGIC, lengths, hashOf(bitmaps, json)]);
  await writeFully(handle, record, rest.tailOffset + rest.tailLength);
}

/**
 * The record at the file's end; undefined if there is none that is whole.
 *
 * @throws MultifdError ERR_IO.
 */
export async function readRedo(handle: FileHandle): Promise<Redo | undefined> {
  const { size } = await io('look at a sidecar', handle.stat());
  if (size < FOOTER_LENGTH) return undefined;
  const footer = Buffer.alloc(FOOTER_LENGTH);
  await readFully(handle, footer, size - FOOTER_LENGTH);
  const bitmapsLength = footer.readUInt32BE(MAGIC.length);
  const jsonLength = footer.readUInt32BE(MAGIC.length + 4);
  const length = bitmapsLength + jsonLength;
  if (
    !footer.subarray(0, MAGIC.length).equals(MAGIC) ||
    length > Math.min(MAX_LENGTH, size - FOOTER_LENGTH)
  )
    return undefined;
  const record = Buffer.alloc(length);
  await readFully(handle, record, size - FOOTER_LENGTH - length);
  const bitmaps = record.subarray(0, bitmapsLength);
  const json = record.subarray(bitmapsLength);
  if (!hashOf(bitmaps, json).equals(footer.subarray(MAGIC.length + 8))) return undefined;
  const rest = parsed(json);
  const pages = rest && pagesOf(rest, bitmaps);
  return rest && pages && rest.tailOffset + rest.tailLength === size - FOOTER_LENGTH - length
    ? { ...rest, pages }
    : undefined;
}

function hashOf(bitmaps: Uint8Array, json: Uint8Array): Buffer {
  return createHash('sha256').update(bitmaps).update(json).digest();
}

/**
 * A hash that fits says that the record is whole, but not which version of it this is, nor that
 * it was not forged.
 */
function parsed(json: Buffer): Omit<Redo, 'pages'> | undefined {
  try {
    return checked(JSON.parse(json.toString()) as Partial<Redo> & { version?: unknown });
  } catch {
    return undefined;
  }
}

function checked({
  version,
  ordinal: found,
  image,
  pageSize,
  blocks,
  tailOffset,
  tailLength,
}: Partial<Redo> & { version?: unknown }): Omit<Redo, 'pages'> | undefined {
  const ordinal = version === 1 ? 0 : found;
  if ((version !== 1 && version !== VERSION) || !isLength(ordinal)) return undefined;
  if (typeof image !== 'string' || !isLength(pageSize) || !isPageSize(pageSize)) return undefined;
  if (!isLength(tailOffset) || !isLength(tailLength) || !Array.isArray(blocks)) return undefined;
  const fits = (block: Partial<PlannedBlock>): boolean =>
    isLength(block.usedLength) &&
    block.usedLength % pageSize === 0 &&
    block.bitmapLength === bitmapLength(block.usedLength, pageSize) &&
    isLength(block.bitmapOffset) &&
    isLength(block.pagesOffset) &&
    block.bitmapOffset + block.bitmapLength <= block.pagesOffset &&
    block.pagesOffset + block.usedLength <= tailOffset;
  return blocks.every(fits)
    ? { ordinal, image, pageSize, blocks, tailOffset, tailLength }
    : undefined;
}

function isLength(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function pagesOf(
  { blocks, pageSize }: Omit<Redo, 'pages'>,
  bitmaps: Uint8Array,
): Uint8Array[] | undefined {
  let at = 0;
  const pages = blocks.map(({ bitmapLength: length }) => bitmaps.subarray(at, (at += length)));
  if (at !== bitmaps.length) return undefined;
  return blocks.some(({ usedLength }, index) => hasBitsPast(pages[index]!, usedLength / pageSize))
    ? undefined
    : pages;
}

/**
 * Copies all that the record names, which can be done again and again, and ends the image where its
 * tail ends. It is on the disk then.
 *
 * @throws MultifdError ERR_IO; ERR_IMAGE if the sidecar was cut short.
 */
export async function applyRedo(sidecar: FileHandle, image: FileHandle, redo: Redo): Promise<void> {
  await copyRedoPages(sidecar, image, redo);
  for (const { bitmapOffset, bitmapLength: length } of redo.blocks)
    await copyRange(sidecar, image, bitmapOffset, length);
  await copyRange(sidecar, image, redo.tailOffset, redo.tailLength);
  await io('set the length of the image', image.truncate(redo.tailOffset + redo.tailLength));
  await io('write the image to the disk', image.sync());
}

/** Copies only the pages. Throws what {@link applyRedo} does. */
export async function copyRedoPages(
  sidecar: FileHandle,
  image: FileHandle,
  { blocks, pageSize, pages }: Redo,
): Promise<void> {
  for (const [index, block] of blocks.entries())
    await copyPages(sidecar, image, block, pageSize, pages[index]!);
}
