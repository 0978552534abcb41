/**
 * Lengths, field offsets and values of QEMU's multifd packets, and of the tables the core takes and
 * gives. Lengths and offsets are in bytes. Packets are big-endian; tables are in the core's native,
 * little-endian order.
 */
import { integer, inWords } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import { numbersOf } from './numbers.ts';
import {
  BlockEntry,
  DeviceStateField,
  DeviceStateInfo,
  InitialField,
  RamField,
  RamInfo,
  Run,
} from './packet-layout.ts';

export {
  COMPRESSION_MASK,
  COMPRESSION_SHIFT,
  DEVICE_STATE_LENGTH,
  FLAG_DEVICE_STATE,
  FLAG_SYNC,
  ID_LENGTH,
  INITIAL_LENGTH,
  MAGIC,
  NO_BLOCK,
  VERSION,
} from './packet-layout.ts';

/**
 * How much a reader needs of a packet before it knows from `flags` which of the two headers it is.
 */
export const PREFIX_LENGTH = 12;

/** Values of the flags' compression field: `MULTIFD_FLAG_ZLIB` and so on, shifted down by one. */
export const COMPRESSION = { none: 0, zlib: 1, zstd: 2, qpl: 4, uadk: 8, qatzip: 16 } as const;

/** Fields of the initial packet, 64 bytes. */
export const INITIAL = numbersOf(InitialField);

/** Fields of a RAM packet's header, {@link ramHeaderLength} bytes. */
export const RAM = numbersOf(RamField);

/** Fields of a device-state packet, 276 bytes. */
export const DEVICE_STATE = numbersOf(DeviceStateField);

/**
 * An entry of the block table that `checkRam` reads: id, NUL-padded; u64 used length; 8 reserved
 * bytes.
 */
export const BLOCK_ENTRY = numbersOf(BlockEntry);

/** What `checkRam` gives: u32 each, but u64 `packetNum`. */
export const RAM_INFO = numbersOf(RamInfo);

/** What `checkDeviceState` gives: u32 each. */
export const DEVICE_STATE_INFO = numbersOf(DeviceStateInfo);

/** A run that `runs` writes: f64 each. */
export const RUN = numbersOf(Run);

/** Length in bytes of what `hash` writes. */
export const HASH_LENGTH = 16;

/**
 * Bytes of page content in a full packet: a packet has as many pages as make this. It is
 * `MULTIFD_PACKET_SIZE` of QEMU's migration/multifd.h.
 */
export const PACKET_PAGES_BYTES = 512 * 1024;

/** Every kernel of the core works on steps of this many bytes. */
const PAGE_STEP = 64;

/**
 * How many pages of `pageSize` bytes one packet holds: 512 KiB / page size, 128 for 4 KiB pages.
 *
 * @throws MultifdError `ERR_OPTION` when the page size is no power of two from 64 bytes to 512 KiB
 */
export function pagesPerPacket(pageSize: number): number {
  const pages = typeof pageSize === 'number' ? PACKET_PAGES_BYTES / pageSize : 0;
  if (!Number.isInteger(pageSize) || pageSize < PAGE_STEP || !Number.isInteger(pages)) {
    throw new MultifdError(
      'ERR_OPTION',
      `page size ${inWords(pageSize)} is no power of two from ${PAGE_STEP} to ` +
        `${PACKET_PAGES_BYTES}: mostly it is 4096`,
    );
  }
  return pages;
}

/**
 * Length in bytes of every RAM packet's header in a migration with that many pages per packet:
 * 320 + 8 a page, full or not.
 * @throws MultifdError `ERR_OPTION` for what is no number of pages
 */
export function ramHeaderLength(pagesAlloc: number): number {
  return RAM.offset + 8 * integer('pages', pagesAlloc, 0, 0xffff_ffff);
}

/**
 * Length in bytes of the random key that `hash` needs for pages of that size.
 * @throws MultifdError `ERR_OPTION` for what is no page size
 */
export function hashKeyLength(pageSize: number): number {
  return integer('page size', pageSize, 0, PACKET_PAGES_BYTES) + 32;
}
