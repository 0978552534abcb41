/**
 * The device-state packet (QEMU 10.0 and newer). Integers are big-endian.
 *
 * ```
 *    0    4  magic 0x11223344
 *    4    4  version 1
 *    8    4  flags: DEVICE_STATE (0x40) and nothing else
 *   12  256  idstr of the device, NUL-terminated
 *  268    4  instance_id
 *  272    4  next_packet_size: bytes of state that follow, at least 1
 * ```
 */
import { loadBe32, storeBe32 } from '../bytes';
import {
  DeviceStateField,
  DeviceStateInfo,
  FLAG_DEVICE_STATE,
  ID_LENGTH,
  MAGIC,
  Refusal,
  VERSION,
} from '../../src/core/packet-layout';
import { idLength } from './id';

/** Fills the 276 bytes at `dst`; `idstr` points to 256 bytes, NUL-padded. */
export function fillDeviceState(dst: usize, idstr: usize, instanceId: u32, payload: u32): void {
  storeBe32(dst, MAGIC, DeviceStateField.magic);
  storeBe32(dst, VERSION, DeviceStateField.version);
  storeBe32(dst, FLAG_DEVICE_STATE, DeviceStateField.flags);
  memory.copy(dst + DeviceStateField.idstr, idstr, ID_LENGTH);
  storeBe32(dst, instanceId, DeviceStateField.instanceId);
  storeBe32(dst, payload, DeviceStateField.nextPacketSize);
}

/**
 * Whether the device-state packet at `src` is right and its payload at most `limit` bytes. Only
 * then it writes:
 *
 * ```
 * out, 8 bytes, native order:
 *  0  u32  instance id
 *  4  u32  bytes of state that follow
 * ```
 */
export function checkDeviceState(src: usize, limit: u32, out: usize): i32 {
  if (loadBe32(src, DeviceStateField.magic) != MAGIC) return Refusal.magic;
  if (loadBe32(src, DeviceStateField.version) != VERSION) return Refusal.version;
  if (loadBe32(src, DeviceStateField.flags) != FLAG_DEVICE_STATE) return Refusal.deviceFlags;
  const length = idLength(src + DeviceStateField.idstr);
  if (length == 0 || length == ID_LENGTH) return Refusal.deviceIdstr;
  const payload = loadBe32(src, DeviceStateField.nextPacketSize);
  if (payload == 0 || payload > limit) return Refusal.devicePayload;
  store<u32>(out, loadBe32(src, DeviceStateField.instanceId), DeviceStateInfo.instanceId);
  store<u32>(out, payload, DeviceStateInfo.payload);
  return Refusal.none;
}
