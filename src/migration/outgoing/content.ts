import { givenArray, givenObject, givenText, integer } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import { blockLengthFor, fileLengthRecord } from '../../image/mapped-ram/records.ts';
import {
  buildTail,
  type Configuration,
  DEFAULT_PAGE_SIZE,
  NO_OTHERS,
  type OtherBytes,
} from '../../stream/index.ts';
import { layOutShared, type SharedAreas } from '../../blocks/areas.ts';
import { type OpenBlock, openBlock } from '../../blocks/sources.ts';
import type { OutgoingOptions } from './options.ts';

/** A block with the length that it has on the wire. */
export interface ContentBlock extends OpenBlock {
  /** Whole pages, in bytes. */
  readonly usedLength: number;
  /** Where the guest has it, in bytes; only of an image made with x-ignore-shared. */
  readonly address?: number;
  /** Its content is not sent: x-ignore-shared has left it out of the image. */
  readonly ignored?: boolean;
}

/** All that an outgoing migration carries, opened. */
export interface OutgoingContent {
  /** As a socket stream has it: without mapped-ram. */
  configuration: Configuration;
  blocks: readonly ContentBlock[];
  /** Bytes. */
  pageSize: number;
  /** Sections that are not "ram" and come before the device sections. */
  others: OtherBytes;
  /** What follows the RAM on the main channel, verbatim. */
  tail: Uint8Array;
  /**
   * All that the tail's description describes: sections that come before the end of "ram", then the
   * tail. Undefined: the tail alone.
   */
  described?: Uint8Array;
  /**
   * Of what is read from files: to be called once every page has been read, before it is reported
   * that all is there.
   * @throws MultifdError ERR_IO if one has changed since it was opened.
   */
  verify?(): Promise<void>;
  close(): Promise<void>;
}

/** @throws MultifdError ERR_OPTION, ERR_IO, ERR_IMAGE. */
export async function openContent(
  options: OutgoingOptions,
  pageSize: number | undefined,
): Promise<OutgoingContent> {
  if ((options.image === undefined) === (options.blocks === undefined))
    throw new MultifdError('ERR_OPTION', 'give either blocks or an image');
  if (options.image === undefined) return blocksContent(options, pageSize ?? DEFAULT_PAGE_SIZE);
  integer('image offset', options.imageOffset ?? 0, 0, Number.MAX_SAFE_INTEGER);
  const { image, imageOffset = 0, imageToken: token, maxDeviceState, timeout, signal } = options;
  // Loaded only where there is an image.
  const { imageContent } = await import('./image-content.ts');
  const given = {
    ...(token !== undefined && { token }),
    ...(maxDeviceState !== undefined && { maxDeviceState }),
    ...(timeout !== undefined && { timeout }),
    ...(signal && { signal }),
  };
  return imageContent(image, { offset: imageOffset, ...given }, pageSize);
}

async function blocksContent(
  { blocks: given = [], machine = 'none' }: OutgoingOptions,
  pageSize: number,
): Promise<OutgoingContent> {
  const outgoing = givenArray('blocks', given, 'an array of { id, source }');
  for (const block of outgoing)
    givenText('the id of a block', givenObject('a block', block, '{ id, source }').id);
  if (outgoing.length === 0) throw new MultifdError('ERR_OPTION', 'there is no block to send');
  if (new Set(outgoing.map(({ id }) => id)).size !== outgoing.length)
    throw new MultifdError('ERR_OPTION', 'two blocks have the same id');
  const blocks: ContentBlock[] = [];
  const close = async (): Promise<void> => {
    for (const block of blocks) await block.close();
  };
  try {
    for (const given of outgoing) {
      const block = await openBlock(given, pageSize);
      blocks.push({ ...block, usedLength: blockLengthFor(block.byteLength, pageSize) });
    }
  } catch (error) {
    await close();
    throw error;
  }
  // Blocks have whole pages; a length that is not a multiple travels beside them.
  const records = blocks.flatMap(({ byteLength, usedLength }, index) =>
    byteLength === usedLength ? [] : [fileLengthRecord(index, byteLength)],
  );
  const verify = async (): Promise<void> => {
    for (const block of blocks) await block.verify?.();
  };
  const tail = buildTail(records, pageSize);
  const configuration = { machine, capabilities: [] };
  return { configuration, blocks, pageSize, others: NO_OTHERS, tail, verify, close };
}

/**
 * The shared area for a content's blocks.
 * @param writesBitmaps whether it is an image that is written: every block needs its bitmaps then.
 */
export function contentAreas(
  { blocks }: OutgoingContent,
  pageSize: number,
  writesBitmaps: boolean,
): SharedAreas {
  const areas = blocks.map(({ id, usedLength, bitmap }) => ({
    id,
    usedLength,
    bitmap: writesBitmaps || bitmap !== undefined,
    changes: writesBitmaps,
  }));
  return layOutShared(areas, pageSize);
}
