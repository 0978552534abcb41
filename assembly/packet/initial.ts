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
import {
  INITIAL_LENGTH,
  InitialField,
  MAGIC,
  Refusal,
  VERSION,
} from '../../src/core/packet-layout';

/** Fills the 64 bytes at `dst`; `uuid` points to 16 bytes. */
export function fillInitial(dst: usize, uuid: usize, id: u8): void {
  memory.fill(dst, 0, INITIAL_LENGTH);
  storeBe32(dst, MAGIC, InitialField.magic);
  storeBe32(dst, VERSION, InitialField.version);
  v128.store(dst + InitialField.uuid, v128.load(uuid));
  store<u8>(dst + InitialField.id, id);
}

/**
 * Whether the initial packet at `src` is of this VM, with an id below `channels`; the zero bytes
 * are not checked.
 */
export function checkInitial(src: usize, uuid: usize, channels: u32): i32 {
  if (loadBe32(src, InitialField.magic) != MAGIC) return Refusal.magic;
  if (loadBe32(src, InitialField.version) != VERSION) return Refusal.version;
  const others = v128.xor(v128.load(src + InitialField.uuid), v128.load(uuid));
  if (v128.any_true(others)) return Refusal.uuid;
  if (<u32>load<u8>(src + InitialField.id) >= channels) return Refusal.channelId;
  return Refusal.none;
}
