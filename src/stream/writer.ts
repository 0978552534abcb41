import { MultifdError } from '../util/errors.ts';
import type { RamBlock } from './blocks.ts';
import { ByteWriter } from './byte-writer.ts';
import { serialiseConfiguration, type Configuration } from './configuration.ts';
import {
  Command,
  isPageSize,
  MAPPED_RAM_VERSION,
  RAM_IDSTR,
  RAM_SECTION_ID,
  RAM_VERSION,
  RamFlag,
  Section,
  STREAM_MAGIC,
  STREAM_VERSION,
} from './constants.ts';

/**
 * The pieces of a main stream, in the order a source writes them:
 *
 *     streamHeader, [openReturnPath],
 *     ramStart, blockEntry per block, [flushWord], ramSectionEnd,
 *     per round: ramPart, [ramResize, flushWord], zeroPage..., [flushWord], ramSectionEnd,
 *     ramEnd, zeroPage..., [flushWord], ramSectionEnd,
 *     and what buildTail gives, or another stream's tail verbatim
 */

/** `QEVM`, version 3, CONFIGURATION. Throws as serialiseConfiguration does. */
export function streamHeader(configuration: Configuration): Uint8Array {
  return new ByteWriter()
    .u32(STREAM_MAGIC)
    .u32(STREAM_VERSION)
    .bytes(serialiseConfiguration(configuration))
    .finish();
}

/** A command, with the data that it has. */
export function command(number: number, data = new ByteWriter()): Uint8Array {
  const bytes = data.finish();
  return new ByteWriter().u8(Section.COMMAND).u16(number).u16(bytes.length).bytes(bytes).finish();
}

/** Asks the target to send messages back on the main connection. */
export function openReturnPath(): Uint8Array {
  return command(Command.OPEN_RETURN_PATH);
}

/**
 * Asks the target to answer with a PONG of the same value, once it has come this far.
 * @param value 32 bits.
 */
export function ping(value: number): Uint8Array {
  return command(Command.PING, new ByteWriter().u32(value));
}

/**
 * The START header of "ram" and its MEM_SIZE word; {@link blockEntry} for each block comes next.
 *
 * @param pageSize bytes.
 * @throws MultifdError ERR_OPTION for a page size that is not a power of two from 1 KiB to 512
 *   KiB; ERR_BLOCK for two blocks of one id; ERR_BLOCK_LENGTH for a used length that is not a
 *   multiple of the page size, or a last block of length 0: the list ends where the lengths add up,
 *   so that no reader would see it.
 */
export function ramStart(blocks: readonly RamBlock[], pageSize: number): Uint8Array {
  return new ByteWriter()
    .u8(Section.START)
    .u32(RAM_SECTION_ID)
    .name(RAM_IDSTR)
    .u32(0)
    .u32(RAM_VERSION)
    .bytes(memSize(blocks, pageSize))
    .finish();
}

/**
 * What a PART section tells of blocks that have grown: MEM_SIZE and the whole list again, with the
 * new lengths; same blocks, same order, none shorter than before. It belongs between two rounds:
 * every channel has sent its SYNC since the last page, and {@link flushWord} has said so; and then
 * every channel sends another, and {@link flushWord} comes right behind this.
 *
 * @throws MultifdError what {@link ramStart} and {@link blockEntry} throw.
 */
export function ramResize(blocks: readonly RamBlock[], pageSize: number): Uint8Array {
  const writer = new ByteWriter().bytes(memSize(blocks, pageSize));
  for (const block of blocks) writer.bytes(blockEntry(block));
  return writer.finish();
}

/** The MEM_SIZE word, once the blocks are known to be such that a reader takes them. */
function memSize(blocks: readonly RamBlock[], pageSize: number): Uint8Array {
  if (!isPageSize(pageSize))
    throw new MultifdError(
      'ERR_OPTION',
      `a page size of ${pageSize} bytes; it must be a power of two from 1024 to 524288`,
    );
  const ids = new Set<string>();
  let total = 0;
  for (const { id, usedLength } of blocks) {
    if (ids.has(id))
      throw new MultifdError('ERR_BLOCK', `the block ${id} comes twice; give one another id`);
    ids.add(id);
    total += usedLength;
    if (usedLength < 0 || usedLength % pageSize !== 0 || !Number.isSafeInteger(total)) {
      throw new MultifdError(
        'ERR_BLOCK_LENGTH',
        `the block ${id} has ${usedLength} bytes, which is not a possible multiple of ${pageSize}`,
      );
    }
  }
  if (blocks.at(-1)?.usedLength === 0)
    throw new MultifdError(
      'ERR_BLOCK_LENGTH',
      'the last block has no bytes; give it a page at least',
    );
  return new ByteWriter().u64(total + RamFlag.MEM_SIZE).finish();
}

/**
 * A block's entry in the list after {@link ramStart}; layout at parseBlocks.
 *
 * @throws MultifdError ERR_OPTION for an id that is empty, longer than 255 bytes, or has a
 *   control character.
 */
export function blockEntry({ id, usedLength, address, mapped }: RamBlock): Uint8Array {
  const writer = new ByteWriter().name(id).u64(usedLength);
  if (address !== undefined) writer.u64(address);
  if (mapped !== undefined) {
    writer
      .u32(MAPPED_RAM_VERSION)
      .u64(mapped.pageSize)
      .u64(mapped.bitmapOffset)
      .u64(mapped.pagesOffset);
  }
  return writer.finish();
}

export function ramPart(): Uint8Array {
  return new ByteWriter().u8(Section.PART).u32(RAM_SECTION_ID).finish();
}

export function ramEnd(): Uint8Array {
  return new ByteWriter().u8(Section.END).u32(RAM_SECTION_ID).finish();
}

/** MULTIFD_FLUSH; one for each SYNC packet that every channel sends. */
export function flushWord(): Uint8Array {
  return new ByteWriter().u64(RamFlag.MULTIFD_FLUSH).finish();
}

/**
 * A zero page on the main channel.
 *
 * @param blockId undefined for the same block as the zero page before.
 * @param offset bytes in the block, page-aligned.
 */
export function zeroPage(blockId: string | undefined, offset: number): Uint8Array {
  const writer = new ByteWriter();
  if (blockId === undefined) writer.u64(offset + RamFlag.ZERO + RamFlag.CONTINUE);
  else writer.u64(offset + RamFlag.ZERO).name(blockId);
  return writer.u8(0).finish();
}

/** The end of a section's content, and its footer. */
export function ramSectionEnd(): Uint8Array {
  return new ByteWriter().u64(RamFlag.EOS).u8(Section.FOOTER).u32(RAM_SECTION_ID).finish();
}
