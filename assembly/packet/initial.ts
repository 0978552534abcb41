/**
 * The initial packet, first on each channel. Integers are big-endian.
 *
 * ```
 *   0   4  magic 0x11223344
 *   4   4  version 1
 *   8  16  uuid of the VM, all zero when it has none
 *  24   1  id of the channel, from 0 on
 *  25  39  zero
 * ```
 */
import { loadBe32, storeBe32 } from '../bytes';
import { MAGIC, Prefix, Refusal, VERSION } from '../layout';

const INITIAL_BYTES: usize = 64;
const UUID_AT: usize = 8;
const ID_AT: usize = 24;

/** Fills the 64 bytes at `dst`; `uuid` points to 16 bytes. */
export function fillInitial(dst: usize, uuid: usize, id: u8): void {
  memory.fill(dst, 0, INITIAL_BYTES);
  storeBe32(dst, MAGIC, Prefix.magic);
  storeBe32(dst, VERSION, Prefix.version);
  v128.store(dst + UUID_AT, v128.load(uuid));
  store<u8>(dst + ID_AT, id);
}

/**
 * Whether the initial packet at `src` is of this VM, with an id below `channels`; the zero bytes
 * are not checked.
 */
export function checkInitial(src: usize, uuid: usize, channels: u32): i32 {
  if (loadBe32(src, Prefix.magic) != MAGIC) return Refusal.magic;
  if (loadBe32(src, Prefix.version) != VERSION) return Refusal.version;
  if (v128.any_true(v128.xor(v128.load(src + UUID_AT), v128.load(uuid)))) return Refusal.uuid;
  if (<u32>load<u8>(src + ID_AT) >= channels) return Refusal.channelId;
  return Refusal.none;
}
