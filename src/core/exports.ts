import type {
  BLOCK_ENTRY,
  COMPRESSION,
  DEVICE_STATE_INFO,
  RAM_INFO,
  RUN,
  hashKeyLength,
} from './layout.ts';
import type { packetError } from './check.ts';

/**
 * A byte address in the core's memory, 0 to 2^32 - 1. One at or above 2 GiB may be passed signed or
 * unsigned.
 */
export type Address = number;

/**
 * The exports of the WebAssembly core, as they come from the instance: plain calls, with nothing
 * around them.
 *
 * - Arguments are 32-bit integers: addresses, counts and sizes in bytes. They are trusted. Only
 *   what lies in the packets that the `check...` functions read is treated as hostile.
 * - A result is a **signed** 32-bit integer, whatever it stands for: write `>>> 0` behind a call
 *   whose result is a mask, or a page index that can reach 2^31.
 * - `pageSize`: a multiple of 64 bytes. Page addresses need no alignment.
 * - An `offsets` list is `count` unsigned 64-bit byte offsets in a block, in native (little-endian)
 *   order.
 * - A mask has bit i in bit i & 7 of byte i >> 3, so a 32-bit mask can be stored as a little-endian
 *   word.
 * - A bitmap has one bit per page in 64-bit little-endian words, as mapped-ram files have it
 *   (QEMU's migration/ram.c, since 9.0); 8-byte aligned.
 * - No function throws. An address past the end of the memory traps with a
 *   `WebAssembly.RuntimeError`.
 */
export interface CoreExports {
  /** How many of `count` contiguous pages come before the first one that is all zero. */
  normalPages(pages: Address, pageSize: number, count: number): number;

  /** Of `count` <= 32 contiguous pages: bit i is set when page i is all zero. */
  zeroMask(pages: Address, pageSize: number, count: number): number;

  /**
   * The same for pages at `base` + each offset. Fills ceil(count / 32) 32-bit words at `mask`, the
   * bits past `count` clear, and returns how many pages are zero.
   */
  zeroMaskAt(
    base: Address,
    offsets: Address,
    pageSize: number,
    count: number,
    mask: Address,
  ): number;

  /**
   * Of `count` <= 32 contiguous pages: bit i is set when page i at `a` differs from page i at `b`.
   */
  compareMask(a: Address, b: Address, pageSize: number, count: number): number;

  /**
   * Fills an `offsets` list with `count` neighbouring pages of a block, the first of which is page
   * `first`.
   */
  neighbours(offsets: Address, first: number, count: number, pageSize: number): void;

  /**
   * Puts the offsets of pages whose mask bit is clear (normal) before those whose bit is set
   * (zero), in place, each kind in its order. `scratch` has room for 8 * count bytes, left
   * undefined. Returns the count of normal pages.
   */
  partition(offsets: Address, count: number, mask: Address, scratch: Address): number;

  /**
   * Of `count` staged pages (page i at `pages` + i * pageSize): moves those whose mask bit is clear
   * to the front, in order, and returns how many they are. What lies behind them is undefined.
   */
  compact(pages: Address, pageSize: number, count: number, mask: Address): number;

  /**
   * Copies the pages at `base` + each offset to `dst`, one behind the other; neighbours in one
   * move.
   */
  gather(dst: Address, base: Address, offsets: Address, count: number, pageSize: number): void;

  /**
   * Copies pages that lie one behind the other at `src` to `base` + each offset, in order;
   * neighbours in one move.
   */
  scatter(base: Address, src: Address, offsets: Address, count: number, pageSize: number): void;

  /**
   * Zeroes the pages at `base` + each offset; one that is zero already is only read, so untouched
   * memory stays so.
   */
  clear(base: Address, offsets: Address, count: number, pageSize: number): void;

  /** The same for `count` contiguous pages. */
  clearRun(pages: Address, pageSize: number, count: number): void;

  /**
   * Merges pages that follow each other, in the list and in the block, into runs. Run i is two
   * float64 at `out` + 16 * i, see {@link RUN}; `out` has room for `count` of them. Returns how
   * many there are.
   */
  runs(offsets: Address, count: number, pageSize: number, out: Address): number;

  /**
   * 128-bit hash of a page: two unsigned 64-bit halves at `out` (16 bytes). The key is
   * {@link hashKeyLength}(pageSize) random bytes.
   *
   * It is NH in its Toeplitz form (the universal hash of UMAC, RFC 4418). Two different pages
   * chosen without knowledge of the key have the same hash with a probability of at most 2^-64. It
   * is no cryptographic hash: keep the key to yourself, and compare bytes where a missed change is
   * not acceptable.
   */
  hash(page: Address, pageSize: number, key: Address, out: Address): void;

  /** The same for `count` contiguous pages: 16 bytes a page, one behind the other at `out`. */
  hashPages(pages: Address, pageSize: number, count: number, key: Address, out: Address): void;

  /**
   * Sets (`present` 1) or clears (0) the bits of the pages at the offsets. In the shared build
   * several threads can mark one bitmap at once.
   */
  markPages(
    bitmap: Address,
    offsets: Address,
    count: number,
    pageSize: number,
    present: number,
  ): void;

  /** First page from `from` on whose bit is set, or `end` when there is none below it. */
  nextRun(bitmap: Address, from: number, end: number): number;

  /** First page from `from` on whose bit is clear, or `end` when there is none below it. */
  runEnd(bitmap: Address, from: number, end: number): number;

  /** How many bits of the pages below `end` are set. */
  countBits(bitmap: Address, end: number): number;

  /**
   * Fills an initial packet: 64 bytes at `dst`. `uuid` points to 16 bytes; `id` is the channel's, 0
   * to 255.
   */
  fillInitial(dst: Address, uuid: Address, id: number): void;

  /**
   * Checks the initial packet at `src` against uuid and number of channels. 0, or a code for {@link
   * packetError}.
   */
  checkInitial(src: Address, uuid: Address, channels: number): number;

  /**
   * Fills a RAM packet's header: 320 + 8 * pagesAlloc bytes at `dst`.
   *
   * @param payload bytes that follow the header
   * @param counter address of the packet counter, an unsigned 64-bit word, 8-byte aligned;
   *   packet_num is its value, and it goes up by one (atomically in the shared build)
   * @param blockId address of 256 bytes, NUL-padded, or 0 for the empty id
   * @param offsets normal + zero offsets, the normal pages first
   */
  fillRam(
    dst: Address,
    flags: number,
    pagesAlloc: number,
    normal: number,
    zero: number,
    payload: number,
    counter: Address,
    blockId: Address,
    offsets: Address,
  ): void;

  /**
   * Checks the RAM packet's header at `src`, all 320 + 8 * pagesAlloc bytes of it. 0, or a code for
   * {@link packetError}.
   *
   * @param compression the one agreed on, a value of {@link COMPRESSION}
   * @param blocks table of {@link BLOCK_ENTRY}s
   * @param out {@link RAM_INFO}: complete when the result is 0; `badPage` alone when a page
   *   offset was refused
   * @param offsets room for pagesAlloc offsets; what lies there after a refusal is undefined
   */
  checkRam(
    src: Address,
    pagesAlloc: number,
    pageSize: number,
    compression: number,
    blocks: Address,
    blockCount: number,
    out: Address,
    offsets: Address,
  ): number;

  /** Fills a device-state packet: 276 bytes at `dst`. `idstr` points to 256 bytes, NUL-padded. */
  fillDeviceState(dst: Address, idstr: Address, instanceId: number, payload: number): void;

  /**
   * Checks the device-state packet at `src`, whose payload may be 1 to `limit` bytes. 0, or a code
   * for {@link packetError}; `out` is {@link DEVICE_STATE_INFO}, written when the result is 0.
   */
  checkDeviceState(src: Address, limit: number, out: Address): number;
}
