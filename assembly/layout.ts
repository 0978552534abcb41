/**
 * Lengths, field offsets and codes that more than one module uses. Byte offsets are from the start
 * of the structure they name; the structures themselves are drawn where they are filled.
 */

/** "\x11\x22\x33\x44": opens the initial packet and every packet after it. */
export const MAGIC: u32 = 0x11223344;
export const VERSION: u32 = 1;

/** Where the words that every packet starts with lie. */
export const enum Prefix {
  magic = 0,
  version = 4,
  flags = 8,
}

/** A RAM block id or a device's idstr: NUL-terminated, NUL-padded. */
export const ID_BYTES: u32 = 256;

export const FLAG_DEVICE_STATE: u32 = 1 << 6;
/** Bit 0 SYNC, bits 1-5 compression, bit 6 DEVICE_STATE. */
export const KNOWN_FLAGS: u32 = 0x7f;
export const COMPRESSION_SHIFT: u32 = 1;
export const COMPRESSION_MASK: u32 = 0x1f;

/**
 * Why a packet was refused; 0 is none of these: the packet is right. The same list is in
 * src/core/check.ts.
 */
export const enum Refusal {
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
