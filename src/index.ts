/**
 * multifd: moves large memory over N parallel channels, in QEMU's own multifd wire and file formats.
 *
 * This is the migration level: an outgoing and an incoming end. The levels below are `multifd/engine` (channels, slots, clients) and `multifd/core`
 * (the WebAssembly kernels).
 */
export { MultifdError, type ErrorCode, type ErrorRecord } from './errors.ts';
export { send, type OutgoingOptions, type ZeroPageDetection } from './migration/outgoing/index.ts';
export { receive, type IncomingMigration, type IncomingOptions } from './migration/incoming/index.ts';
export { Guest } from './live/guest.ts';
export { reactorGuest, reactorTarget, type Reactor, type ReactorGuestOptions, type ReactorTarget, type ReactorTargetOptions } from './live/reactor/index.ts';
export { hashScratchBytes } from './live/tracking/hash.ts';
export type { LiveMemory } from './live/guest-memory.ts';
export type { GuestOptions, LiveBlock, LiveMigrationOptions, SnapshotOptions, Tracking } from './live/options.ts';
export type { LiveStatistics, Round } from './live/statistics.ts';
export type { DirtyBitmap } from './live/tracking/bitmap.ts';
export type { DeviceState } from './migration/channel/payloads.ts';
export type { PageSink } from './migration/channel/page-targets.ts';
export type { ImageStore } from './migration/memory/store-sink.ts';
export type { BlockSource, OutgoingBlock, PageSource } from './migration/memory/sources.ts';
export type { BlockTarget, BlockTargets, IncomingBlock } from './migration/memory/targets.ts';
export type { MigrationOptions } from './migration/options.ts';
export type { ChannelStatistics, MigrationStatistics, RamStatistics } from './migration/statistics.ts';
export type { IncomingTls, OutgoingTls } from './transport/tls-credentials.ts';
export type { Compression } from './compression/index.ts';
export {
  countBits,
  extractBlock,
  extractCore,
  finishImageUpdate,
  inspectDevices,
  inspectImage,
  isImage,
  openImage,
  planImage,
  runsOf,
  type BlockReport,
  type CoreReport,
  type ExtractOptions,
  type ImageBlock,
  type ImageOptions,
  type ImagePlan,
  type ImageReader,
  type ImageReport,
  type ImageSource,
  type InspectDevicesOptions,
  type PageRun,
  type PlannedBlock,
  type RandomAccess,
  type Stamp,
} from './image/index.ts';
export { describeDevices, type DeviceContent, type DeviceField, type DeviceReport, type DeviceSubsection } from './stream/index.ts';
export {
  inspectRecordedDevices,
  inspectRecording,
  readRecordingTail,
  record,
  replay,
  type IncomingRecording,
  type InspectRecordingOptions,
  type RecordedBlockReport,
  type RecordedChannelReport,
  type RecordedDevicesOptions,
  type RecordingReport,
  type RecordingStatistics,
  type RecordOptions,
  type ReplayOptions,
} from './recording/index.ts';
