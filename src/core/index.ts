/**
 * Level 1, the core: page and packet kernels in WebAssembly over any memory, and the layouts they
 * work on. It does no I/O and starts no thread.
 *
 * The packets are QEMU's: `MultiFDInit_t`, `MultiFDPacket_t`, the flags and
 * `MULTIFD_PACKET_SIZE` of migration/multifd.h; the packet for device state since 10.0
 * (`MultiFDPacketDeviceState_t`).
 *
 * @module multifd/core
 */
export {
  compileCore,
  coreKind,
  instantiateCore,
  instantiateCoreSync,
  type CoreKind,
  type CoreModules,
} from './load.ts';
export type { Address, CoreExports } from './exports.ts';
export { type Agreed, packetError, REFUSAL } from './check.ts';
export { blockTable, decodeId, encodeId, type BlockTableEntry } from './names.ts';
export * from './layout.ts';
export type { Numbers } from './numbers.ts';
export type {
  BlockEntry,
  DeviceStateField,
  DeviceStateInfo,
  InitialField,
  RamField,
  RamInfo,
  Refusal,
  Run,
} from './packet-layout.ts';
export { MultifdError, type ErrorCode, type ErrorPlace, type ErrorRecord } from '../util/errors.ts';
