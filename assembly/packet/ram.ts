/**
 * The RAM packet's header: 320 + 8 * pages_alloc bytes, one length for the whole migration.
 * Integers are big-endian.
 *
 * ```
 *    0    4  magic 0x11223344
 *    4    4  version 1
 *    8    4  flags: bit 0 SYNC, bits 1-5 compression
 *   12    4  pages_alloc: pages per packet; QEMU 10 leaves it 0 in a SYNC packet
 *   16    4  normal_pages: pages whose content follows
 *   20    4  next_packet_size: bytes of payload that follow
 *   24    8  packet_num, one counter over all channels
 *   32    4  zero_pages (always 0 before QEMU 9.0)
 *   36   28  zero
 *   64  256  ramblock: id of the RAM block, NUL-terminated
 *  320       offset: pages_alloc 64-bit byte offsets in the block: of the normal pages,
 *            then of the zero pages; rest zero
 * ```
 */
import { copySwapped64, loadBe32, loadBe64, storeBe32, storeBe64 } from '../bytes';
import {
  BlockEntry,
  COMPRESSION_MASK,
  COMPRESSION_SHIFT,
  FLAG_DEVICE_STATE,
  GROWTH_MARGIN,
  GROWTH_PART,
  ID_LENGTH,
  KNOWN_FLAGS,
  MAGIC,
  NO_BLOCK,
  RamField,
  RamInfo,
  Refusal,
  VERSION,
} from '../../src/core/packet-layout';
import { idLength } from './id';

const UNUSED_AT: usize = 36;
const UNUSED_BYTES: usize = 28;

/**
 * Fills the header at `dst` and takes its packet_num from the counter (u64, aligned). `offsets`
 * points to normal + zero native u64 byte offsets; `blockId` to 256 bytes, NUL-padded, or is 0 for
 * the empty id of a packet without pages.
 */
export function fillRam(
  dst: usize,
  flags: u32,
  pagesAlloc: u32,
  normal: u32,
  zero: u32,
  payload: u32,
  counter: usize,
  blockId: usize,
  offsets: usize,
): void {
  storeBe32(dst, MAGIC, RamField.magic);
  storeBe32(dst, VERSION, RamField.version);
  storeBe32(dst, flags, RamField.flags);
  storeBe32(dst, pagesAlloc, RamField.pagesAlloc);
  storeBe32(dst, normal, RamField.normalPages);
  storeBe32(dst, payload, RamField.nextPacketSize);
  storeBe64(dst, takeNumber(counter), RamField.packetNum);
  storeBe32(dst, zero, RamField.zeroPages);
  memory.fill(dst + UNUSED_AT, 0, UNUSED_BYTES);
  if (blockId) memory.copy(dst + RamField.ramblock, blockId, ID_LENGTH);
  else memory.fill(dst + RamField.ramblock, 0, ID_LENGTH);
  const pages = normal + zero;
  copySwapped64(dst + RamField.offset, offsets, pages);
  memory.fill(dst + RamField.offset + (pages << 3), 0, (pagesAlloc - pages) << 3);
}

function takeNumber(counter: usize): u64 {
  // Every channel counts on the one word. Only the number matters, so the atomic publishes nothing
  // else.
  if (ASC_FEATURE_THREADS) return atomic.add<u64>(counter, 1);
  const number = load<u64>(counter);
  store<u64>(counter, number + 1);
  return number;
}

/**
 * Whether the header at `src` (320 + 8 * pagesAlloc bytes) is right for a migration with
 * `pagesAlloc` pages per packet, the `compression` agreed on (value of the five-bit field) and the
 * `blockCount` blocks in the table at `blocks`. Then its page offsets are at `offsets`, native u64,
 * room for pagesAlloc of them, and:
 *
 * ```
 * out, 32 bytes, native order:
 *   0  u32  index of the block in the table; 0xffffffff for a packet without pages
 *   4  u32  flags
 *   8  u32  normal pages
 *  12  u32  zero pages
 *  16  u32  bytes of payload that follow
 *  20  u32  index of the page that was refused, when the result is pageUnaligned or pageOutside
 *  24  u64  packet_num
 * ```
 *
 * Reserved bytes, and those behind the id's NUL, are not checked; nor are they by QEMU.
 */
export function checkRam(
  src: usize,
  pagesAlloc: u32,
  pageSize: u32,
  compression: u32,
  blocks: usize,
  blockCount: u32,
  out: usize,
  offsets: usize,
): i32 {
  if (loadBe32(src, RamField.magic) != MAGIC) return Refusal.magic;
  if (loadBe32(src, RamField.version) != VERSION) return Refusal.version;
  const flags = loadBe32(src, RamField.flags);
  if (flags & (~KNOWN_FLAGS | FLAG_DEVICE_STATE)) return Refusal.flags;
  const normal = loadBe32(src, RamField.normalPages);
  const zero = loadBe32(src, RamField.zeroPages);
  const alloc = loadBe32(src, RamField.pagesAlloc);
  // QEMU 10's SYNC packets say 0 here, those of older ones the same as in other packets.
  if (alloc != pagesAlloc && (alloc | normal | zero) != 0) return Refusal.pagesAlloc;
  if (normal > pagesAlloc) return Refusal.normalPages;
  // Not "normal + zero > pagesAlloc", whose sum can wrap around.
  if (zero > pagesAlloc - normal) return Refusal.zeroPages;

  let block = <u32>NO_BLOCK;
  // A SYNC packet without pages comes with an empty id, and from some versions without its
  // compression flag.
  if (normal + zero > 0) {
    const method = (flags >> COMPRESSION_SHIFT) & COMPRESSION_MASK;
    if (method != compression) return Refusal.compression;
    const length = idLength(src + RamField.ramblock);
    if (length == ID_LENGTH) return Refusal.ramblockUnterminated;
    block = findBlock(src + RamField.ramblock, length, blocks, blockCount);
    if (block == <u32>NO_BLOCK) return Refusal.ramblockUnknown;
    const used = load<u64>(blocks + block * BlockEntry.length + BlockEntry.usedLength);
    copySwapped64(offsets, src + RamField.offset, normal + zero);
    const refused = checkOffsets(offsets, normal + zero, pageSize, used, out + RamInfo.badPage);
    if (refused) return refused;
  }

  let payload: u32 = 0;
  // Without normal pages nothing follows, no matter what the field says: before QEMU 9.0 a SYNC
  // packet keeps a stale one.
  if (normal) {
    payload = loadBe32(src, RamField.nextPacketSize);
    const raw = <u64>normal * pageSize;
    if (compression ? payload == 0 || payload > mostCompressed(raw) : payload != raw) {
      return Refusal.payload;
    }
  }

  store<u32>(out, block, RamInfo.block);
  store<u32>(out, flags, RamInfo.flags);
  store<u32>(out, normal, RamInfo.normal);
  store<u32>(out, zero, RamInfo.zero);
  store<u32>(out, payload, RamInfo.payload);
  store<u64>(out, loadBe64(src, RamField.packetNum), RamInfo.packetNum);
  return Refusal.none;
}

/** What `raw` bytes can compress to at the most. */
// @ts-ignore: decorator
@inline
function mostCompressed(raw: u64): u64 {
  return raw + raw / GROWTH_PART + GROWTH_MARGIN;
}

/** Index of the block whose id is the `length` bytes at `id` and the NUL behind them. */
function findBlock(id: usize, length: u32, blocks: usize, blockCount: u32): u32 {
  if (length == 0) return <u32>NO_BLOCK;
  for (let i: u32 = 0; i < blockCount; i++) {
    if (memory.compare(id, blocks + i * BlockEntry.length, length + 1) == 0) return i;
  }
  return <u32>NO_BLOCK;
}

/** Every page on a page boundary and inside the block, or else its index at `badPage`. */
function checkOffsets(
  offsets: usize,
  count: u32,
  pageSize: u32,
  used: u64,
  badPage: usize,
): Refusal {
  // Hardly ever is one refused: all are checked together first, without a division, and without a
  // branch for each.
  if (used >= pageSize && popcnt(pageSize) == 1) {
    const last = used - pageSize;
    let all: u64 = 0;
    let outside: u32 = 0;
    for (let i: u32 = 0; i < count; i++) {
      const offset = load<u64>(offsets + (i << 3));
      all |= offset;
      outside |= <u32>(offset > last);
    }
    if (!outside && !(all & (pageSize - 1))) return Refusal.none;
  }
  for (let i: u32 = 0; i < count; i++) {
    const offset = load<u64>(offsets + (i << 3));
    const aligned = offset % pageSize == 0;
    // Not "offset + pageSize > used", whose sum can wrap around.
    if (aligned && used >= pageSize && offset <= used - pageSize) continue;
    store<u32>(badPage, i);
    return aligned ? Refusal.pageOutside : Refusal.pageUnaligned;
  }
  return Refusal.none;
}
