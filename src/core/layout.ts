/**
 * Lengths, field offsets and values of QEMU's multifd packets, and of the tables the core takes and
 * gives. Lengths and offsets are in bytes. Packets are big-endian; tables are in the core's native,
 * little-endian order.
 */
import { integer, inWords } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';

/** The first word of the initial packet, and of every packet after it. */
export const MAGIC = 0x11223344;
/** The version that every packet carries. */
export const VERSION = 1;

/**
 * How much a reader needs of a packet before it knows from `flags` which of the two headers it is.
 */
export const PREFIX_LENGTH = 12;
export const INITIAL_LENGTH = 64;
export const DEVICE_STATE_LENGTH = 276;
/** Of a RAM block's id and of a device's idstr, with the NUL that ends it. */
export const ID_LENGTH = 256;

/** The packet ends a round on its channel. */
export const FLAG_SYNC = 1 << 0;
/** Bits 1 to 5 of the flags are a value of {@link COMPRESSION}. */
export const COMPRESSION_SHIFT = 1;
export const COMPRESSION_MASK = 0x1f;
/** The packet is a device-state packet, not a RAM packet. */
export const FLAG_DEVICE_STATE = 1 << 6;

/** Values of the flags' compression field. */
export const COMPRESSION = { none: 0, zlib: 1, zstd: 2, qpl: 4, uadk: 8, qatzip: 16 } as const;

/** Fields of the initial packet, 64 bytes. */
export const INITIAL = { magic: 0, version: 4, uuid: 8, id: 24 } as const;

/** Fields of a RAM packet's header, {@link ramHeaderLength} bytes. */
export const RAM = {
  magic: 0,
  version: 4,
  flags: 8,
  pagesAlloc: 12,
  normalPages: 16,
  nextPacketSize: 20,
  packetNum: 24,
  zeroPages: 32,
  ramblock: 64,
  offset: 320,
} as const;

/** Fields of a device-state packet, 276 bytes. */
export const DEVICE_STATE = {
  magic: 0,
  version: 4,
  flags: 8,
  idstr: 12,
  instanceId: 268,
  nextPacketSize: 272,
} as const;

/**
 * An entry of the block table that `checkRam` reads: id, NUL-padded; u64 used length; 8 reserved
 * bytes.
 */
export const BLOCK_ENTRY = { id: 0, usedLength: 256, length: 272 } as const;

/** What `checkRam` gives: u32 each, but u64 `packetNum`. */
export const RAM_INFO = {
  block: 0,
  flags: 4,
  normal: 8,
  zero: 12,
  payload: 16,
  badPage: 20,
  packetNum: 24,
  length: 32,
} as const;

/** {@link RAM_INFO}'s `block` when the packet has no pages. */
export const NO_BLOCK = 0xffff_ffff;

/** What `checkDeviceState` gives: u32 each. */
export const DEVICE_STATE_INFO = { instanceId: 0, payload: 4, length: 8 } as const;

/** A run that `runs` writes: f64 each. */
export const RUN = { offset: 0, bytes: 8, length: 16 } as const;

/** Length of what `hash` writes. */
export const HASH_LENGTH = 16;

/** Page content in a full packet: a packet has as many pages as make this. */
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

/** Length of every RAM packet's header in a migration with that many pages per packet. */
export function ramHeaderLength(pagesAlloc: number): number {
  return RAM.offset + 8 * integer('pages', pagesAlloc, 0, 0xffff_ffff);
}

/** Length of the random key that `hash` needs for pages of that size. */
export function hashKeyLength(pageSize: number): number {
  return integer('page size', pageSize, 0, PACKET_PAGES_BYTES) + 32;
}
