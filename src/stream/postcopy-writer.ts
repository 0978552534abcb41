import { concat, totalLength } from '../util/bytes.ts';
import { MultifdError } from '../util/errors.ts';
import { ByteWriter } from './byte-writer.ts';
import { Command, RamFlag, Section } from './constants.ts';
import { readTail } from './device-state/device-sections.ts';
import { command, ping } from './writer.ts';

/**
 * The pieces of a main stream that are postcopy's, in the order a source writes them:
 *
 *     streamHeader, openReturnPath, postcopyAdvise, ping, START of "ram" and rounds as in precopy,
 *     then the switch: postcopyDiscard..., postcopyPackage, and after it sections with pages;
 *     ramEnd, ramSectionEnd, streamEof
 *
 * and after a break, on a new connection that begins without a header:
 *
 *     receivedBitmapWanted per block, postcopyResume, sections with pages, and the same end
 */

const DISCARD_VERSION = 0;

/** The PING before RUN: the target has all of the devices' state when it answers. */
export const LOADED_PING = 3;

/**
 * Says that postcopy may come.
 * @param hostPage bytes: what the target's memory is made of, and what it asks for.
 * @param pageSize bytes.
 */
export function postcopyAdvise(hostPage: number, pageSize: number): Uint8Array {
  return command(Command.POSTCOPY_ADVISE, new ByteWriter().u64(hostPage).u64(pageSize));
}

/**
 * Says that what a target has of a block's pages, up to `bytes`, does not count.
 *
 * At least one has to come before the switch: a QEMU (7.2 to 11.1) that has had none when it is to
 * listen makes up for it, forgets over that that it listens, and stands still at the first page.
 */
export function postcopyDiscard(blockId: string, bytes: number): Uint8Array {
  const data = new ByteWriter().u8(DISCARD_VERSION).name(blockId).u8(0).u64(0).u64(bytes);
  return command(Command.POSTCOPY_RAM_DISCARD, data);
}

/**
 * The switch: the target listens, loads the devices, and runs. It reads all of it before it begins
 * with any.
 * @param sections device sections.
 */
export function postcopyPackage(sections: Uint8Array): Uint8Array {
  const pieces = [
    command(Command.POSTCOPY_LISTEN),
    sections,
    ping(LOADED_PING),
    command(Command.POSTCOPY_RUN),
  ];
  const length = new ByteWriter().u32(totalLength(pieces));
  return concat([command(Command.PACKAGED, length), ...pieces]);
}

/** Asks for the bitmap of the pages that the target has of a block. */
export function receivedBitmapWanted(blockId: string): Uint8Array {
  return command(Command.RECV_BITMAP, new ByteWriter().name(blockId));
}

/** Asks the target to go on. */
export function postcopyResume(): Uint8Array {
  return command(Command.POSTCOPY_RESUME);
}

/** What ends a stream in postcopy, in which no description of the devices comes. */
export function streamEof(): Uint8Array {
  return Uint8Array.of(Section.EOF);
}

/** What ends the preempt channel. */
export function preemptEnd(): Uint8Array {
  return new ByteWriter().u64(RamFlag.EOS).finish();
}

/**
 * The device sections of a tail: all before its EOF mark, which the description follows.
 * @param described the tail, and before it what else its description describes: sections that came
 *   before the end of "ram".
 * @param tailLength bytes of the tail in it.
 * @throws MultifdError ERR_IMAGE if it has no end.
 */
export function deviceSections(described: Uint8Array, tailLength: number): Uint8Array {
  const { description } = readTail(described);
  // The mark, then the description's own byte and its length come before its text.
  const end = description === undefined ? described.length - 1 : description.offset - 6;
  const begin = described.length - tailLength;
  if (end < begin || described[end] !== Section.EOF)
    throw new MultifdError('ERR_IMAGE', 'the device sections do not end in an EOF mark');
  return described.subarray(begin, end);
}
