import {
  givenArray,
  givenObject,
  givenText,
  guarding,
  integer,
  refuse,
} from '../../util/checks.ts';
import { givenOptions, type OptionNames } from '../../util/options.ts';
import {
  bitmapLength,
  blockEntry,
  IGNORE_SHARED,
  isPageSize,
  MAPPED_RAM,
  MAPPED_RAM_ALIGNMENT,
  MAPPED_RAM_HEADER_LENGTH,
  ramEnd,
  ramSectionEnd,
  ramStart,
  streamHeader,
  withCapability,
  type Configuration,
} from '../../stream/index.ts';

/** What an image shall hold. */
export interface ImageShape {
  /** The capability mapped-ram is added if it is missing. */
  readonly configuration: Configuration;
  /** Used lengths in bytes, multiples of the page size. */
  readonly blocks: ReadonlyArray<{
    readonly id: string;
    readonly usedLength: number;
    /** Where the guest has it, in bytes: for a configuration with x-ignore-shared. */
    readonly address?: number;
  }>;
  /** Bytes per page; a power of two from 1 KiB to 512 KiB. */
  readonly pageSize: number;
  /** Where the stream starts in the file, in bytes; default 0. */
  readonly offset?: number;
  /** Sections that come before "ram", verbatim; default none. */
  readonly before?: Uint8Array;
}

const SHAPE_NAMES = {
  configuration: true,
  blocks: true,
  pageSize: true,
  offset: true,
  before: true,
} as const satisfies OptionNames<ImageShape>;

/** A block's places in the file, absolute, in bytes. */
export interface PlannedBlock {
  /** Its name. */
  readonly id: string;
  /** Whole pages. */
  readonly usedLength: number;
  /** Where its bitmap begins. */
  readonly bitmapOffset: number;
  /** One bit per page, in whole 64-bit words. */
  readonly bitmapLength: number;
  /** Page p is at `pagesOffset + p * pageSize`. */
  readonly pagesOffset: number;
}

/** Where everything of an image is in its file. Positions and lengths in bytes. */
export interface ImagePlan {
  /** Bytes per page. */
  readonly pageSize: number;
  /** The blocks, in the order of the shape. */
  readonly blocks: readonly PlannedBlock[];
  /** Everything in the file but bitmaps, pages, and what follows the RAM. */
  readonly pieces: ReadonlyArray<{ readonly position: number; readonly bytes: Uint8Array }>;
  /**
   * Where sections go that come beside "ram" before its END; what comes from here on in `pieces`
   * goes behind them, and so does the tail.
   */
  readonly betweenOffset: number;
  /** Where device sections and EOF go. */
  readonly tailOffset: number;
}

/**
 * Places everything in a mapped-ram file, as QEMU does:
 *
 *     offset         QEVM, CONFIGURATION, [sections before "ram"], START header of "ram", MEM_SIZE
 *                    per block: entry | bitmap | gap to the next 1 MiB boundary of the file | pages
 *                    EOS, footer
 *     betweenOffset  [sections beside "ram"], END header, EOS, footer
 *     tailOffset     device sections, EOF, VMDESCRIPTION
 *
 * @throws MultifdError ERR_OPTION, ERR_BLOCK or ERR_BLOCK_LENGTH for a shape that the format
 *   cannot carry.
 */
export function planImage(shape: ImageShape): ImagePlan {
  return guarding(() =>
    plan(
      givenOptions(
        'the shape of an image',
        shape,
        SHAPE_NAMES,
        '{ configuration, blocks, pageSize }',
      ),
    ),
  );
}

function plan(shape: ImageShape): ImagePlan {
  const { configuration, blocks, pageSize, offset = 0, before = new Uint8Array(0) } = shape;
  if (!isPageSize(pageSize)) refuse('page size', pageSize, 'a power of two from 1024 to 524288');
  const { machine, capabilities } = givenObject(
    'configuration',
    configuration,
    '{ machine, capabilities }',
  );
  givenText('machine', machine);
  for (const name of givenArray('capabilities', capabilities, 'an array of strings'))
    givenText('capabilities', name);
  for (const block of givenArray('blocks', blocks, 'an array of { id, usedLength }')) {
    const { id, usedLength } = givenObject('a block', block, '{ id, usedLength }');
    givenText('the id of a block', id);
    integer(`usedLength of ${JSON.stringify(id)}`, usedLength, 0, Number.MAX_SAFE_INTEGER);
  }
  integer("the image's offset", offset, 0, Number.MAX_SAFE_INTEGER);
  const pieces: Array<{ position: number; bytes: Uint8Array }> = [];
  const planned: PlannedBlock[] = [];
  let position = offset;
  const put = (bytes: Uint8Array): void => {
    pieces.push({ position, bytes });
    position += bytes.length;
  };
  put(streamHeader(withCapability(configuration, MAPPED_RAM)));
  if (before.length > 0) put(before);
  put(ramStart(blocks, pageSize));
  const ignoreShared = capabilities.includes(IGNORE_SHARED);
  for (const { id, usedLength, address = 0 } of blocks) {
    const entry = { id, usedLength, ...(ignoreShared && { address }) };
    const entryLength = blockEntry(entry).length + MAPPED_RAM_HEADER_LENGTH;
    const bitmapOffset = position + entryLength;
    const bitmapBytes = bitmapLength(usedLength, pageSize);
    const pagesOffset =
      Math.ceil((bitmapOffset + bitmapBytes) / MAPPED_RAM_ALIGNMENT) * MAPPED_RAM_ALIGNMENT;
    put(blockEntry({ ...entry, mapped: { pageSize, bitmapOffset, pagesOffset } }));
    planned.push({ id, usedLength, bitmapOffset, bitmapLength: bitmapBytes, pagesOffset });
    position = pagesOffset + usedLength;
  }
  put(ramSectionEnd());
  const betweenOffset = position;
  put(ramEnd());
  put(ramSectionEnd());
  return { pageSize, blocks: planned, pieces, betweenOffset, tailOffset: position };
}
