/**
 * What the kernels in assembly/ and the library both know of packets and of the core's tables:
 * lengths, field offsets, values, refusals. AssemblyScript and TypeScript both compile this file,
 * so there is nothing in it but numbers and enums of numbers. Lengths and offsets are in bytes.
 */

/** "\x11\x22\x33\x44": the first word of the initial packet, and of every packet after it. */
export const MAGIC = 0x11223344;
/** The version that every packet carries. */
export const VERSION = 1;

/** Bytes of the initial packet. */
export const INITIAL_LENGTH = 64;
/** Bytes of a device-state packet, its payload not counted. */
export const DEVICE_STATE_LENGTH = 276;
/** Of a RAM block's id and of a device's idstr, with the NUL that ends it. */
export const ID_LENGTH = 256;

/** The packet ends a round on its channel. */
export const FLAG_SYNC = 1;
/** Bits 1 to 5 of the flags are the compression: shift right by this, and mask. */
export const COMPRESSION_SHIFT = 1;
/** Of the flags, once they are shifted. */
export const COMPRESSION_MASK = 0x1f;
/** The packet is a device-state packet, not a RAM packet. */
export const FLAG_DEVICE_STATE = 0x40;
/** SYNC, compression, DEVICE_STATE. */
export const KNOWN_FLAGS = 0x7f;

/** The block index of a packet without pages. */
export const NO_BLOCK = 0xffff_ffff;

/**
 * The most that compression can make of some bytes is the bytes, this part of them, and the margin.
 * Data that does not compress grows by 5 bytes per stored block with zlib, by 1/8 at the worst if
 * it were coded with fixed codes all the same; with zstd by 1/256. The margin is for what does not
 * depend on the length: stream and frame headers, the flush, and blocks that hold little.
 */
export const GROWTH_PART = 8;
export const GROWTH_MARGIN = 1024;

/** Fields of the initial packet. */
export enum InitialField {
  magic = 0,
  version = 4,
  uuid = 8,
  id = 24,
}

/** Fields of a RAM packet's header. */
export enum RamField {
  magic = 0,
  version = 4,
  flags = 8,
  pagesAlloc = 12,
  normalPages = 16,
  nextPacketSize = 20,
  packetNum = 24,
  zeroPages = 32,
  ramblock = 64,
  offset = 320,
}

/** Fields of a device-state packet. */
export enum DeviceStateField {
  magic = 0,
  version = 4,
  flags = 8,
  idstr = 12,
  instanceId = 268,
  nextPacketSize = 272,
}

/** An entry of the block table. */
export enum BlockEntry {
  id = 0,
  usedLength = 256,
  length = 272,
}

/** What `checkRam` gives. */
export enum RamInfo {
  block = 0,
  flags = 4,
  normal = 8,
  zero = 12,
  payload = 16,
  badPage = 20,
  packetNum = 24,
  length = 32,
}

/** What `checkDeviceState` gives. */
export enum DeviceStateInfo {
  instanceId = 0,
  payload = 4,
  length = 8,
}

/** A run that `runs` writes. */
export enum Run {
  offset = 0,
  bytes = 8,
  length = 16,
}

/** Why a packet was refused; 0 is none of these: the packet is right. */
export enum Refusal {
  none = 0,
  magic = 1,
  version = 2,
  uuid = 3,
  channelId = 4,
  flags = 5,
  pagesAlloc = 6,
  normalPages = 7,
  zeroPages = 8,
  compression = 9,
  ramblockUnterminated = 10,
  ramblockUnknown = 11,
  pageUnaligned = 12,
  pageOutside = 13,
  payload = 14,
  deviceFlags = 15,
  deviceIdstr = 16,
  devicePayload = 17,
}
