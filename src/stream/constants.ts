/** Numbers of QEMU's migration stream, version 3. All integers on the wire are big-endian. */

/** `QEVM`, the first four bytes of the main stream. */
export const STREAM_MAGIC = 0x5145564d;
export const STREAM_VERSION = 3;

/** The byte that says what comes next in the main stream. */
export const Section = {
  EOF: 0x00,
  START: 0x01,
  PART: 0x02,
  END: 0x03,
  FULL: 0x04,
  SUBSECTION: 0x05,
  VMDESCRIPTION: 0x06,
  CONFIGURATION: 0x07,
  COMMAND: 0x08,
  FOOTER: 0x7e,
} as const;

/** The be16 that follows a COMMAND byte. */
export const Command = {
  OPEN_RETURN_PATH: 1,
  PING: 2,
  POSTCOPY_ADVISE: 3,
  POSTCOPY_LISTEN: 4,
  POSTCOPY_RUN: 5,
  POSTCOPY_RAM_DISCARD: 6,
  PACKAGED: 7,
  ENABLE_COLO: 8,
  POSTCOPY_RESUME: 9,
  RECV_BITMAP: 10,
  SWITCHOVER_START: 11,
} as const;

/**
 * The low bits of a word in the content of the section "ram": ten of them, which is what the
 * smallest pages leave.
 */
export const RamFlag = {
  ZERO: 0x002,
  MEM_SIZE: 0x004,
  PAGE: 0x008,
  EOS: 0x010,
  CONTINUE: 0x020,
  XBZRLE: 0x040,
  HOOK: 0x080,
  COMPRESS_PAGE: 0x100,
  MULTIFD_FLUSH: 0x200,
} as const;

/**
 * How many low bits of a RAM word are flags, as a modulus: offsets in words are multiples of it.
 */
export const RAM_WORD_ALIGNMENT = 0x400;

export const RAM_IDSTR = 'ram';
export const RAM_VERSION = 4;
/**
 * The section id this project's writer gives to "ram"; a reader takes it from the START section.
 */
export const RAM_SECTION_ID = 1;

/** The be16 type of a message on the return path. */
export const ReturnMessageType = {
  SHUT: 1,
  PONG: 2,
  REQ_PAGES_ID: 3,
  REQ_PAGES: 4,
  RECV_BITMAP: 5,
  RESUME_ACK: 6,
  SWITCHOVER_ACK: 7,
} as const;

/**
 * The capability under which MEM_SIZE entries carry where the guest has the block, and blocks that
 * both ends share are left out.
 */
export const IGNORE_SHARED = 'x-ignore-shared';
/** The capability under which a file's MEM_SIZE entries carry the places of bitmap and pages. */
export const MAPPED_RAM = 'mapped-ram';
export const MAPPED_RAM_VERSION = 1;
/** Length in bytes of the header that mapped-ram adds to a block's MEM_SIZE entry. */
export const MAPPED_RAM_HEADER_LENGTH = 28;
/**
 * The pages region of each block starts at a multiple of this many bytes, counted from the start of
 * the file.
 */
export const MAPPED_RAM_ALIGNMENT = 0x100000;

/**
 * The page sizes this project takes, in bytes: powers of two from one RAM word's alignment to one
 * multifd packet. QEMU's machines have 1 KiB (most Arm boards), 4 KiB, or 8 KiB (alpha, sparc64).
 */
export const MIN_PAGE_SIZE = RAM_WORD_ALIGNMENT;
export const MAX_PAGE_SIZE = 512 * 1024;
/** Where nothing says another. */
export const DEFAULT_PAGE_SIZE = 4096;

/** Length in bytes of a bitmap with one bit per page, in whole 64-bit words. */
export function bitmapBytes(pages: number): number {
  return Math.ceil(pages / 64) * 8;
}

/** Length in bytes of the bitmap of a mapped-ram block: one bit per page, in whole 64-bit words. */
export function bitmapLength(usedLength: number, pageSize: number): number {
  return bitmapBytes(usedLength / pageSize);
}

/** Whether `pageSize` (bytes) is one this project takes. */
export function isPageSize(pageSize: unknown): pageSize is number {
  if (typeof pageSize !== 'number' || pageSize < MIN_PAGE_SIZE || pageSize > MAX_PAGE_SIZE)
    return false;
  return Number.isInteger(Math.log2(pageSize));
}
