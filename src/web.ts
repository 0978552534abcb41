/**
 * The migration level in browsers and in workerd: without files, sockets and ports to listen on. Connections come by WebSocket, HTTP, MessagePort, or any pair
 * of streams.
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
export type { ConnectChannel, MigrationOptions, WorkerRole } from './migration/options.ts';
export type { ChannelStatistics, MigrationStatistics, RamStatistics } from './migration/statistics.ts';
export { Inbox, type InboxOptions } from './transport/inbox.ts';
export type { Connectable } from './transport/connectable.ts';
export type { StreamPair } from './transport/stream-link.ts';
export type { IncomingTls, OutgoingTls } from './transport/node/tls-credentials.ts';
export type { Compression } from './compression/index.ts';
export { describeDevices, type DeviceContent, type DeviceField, type DeviceReport, type DeviceSubsection } from './stream/index.ts';
export { isImage, openImage, type ImageBlock, type ImageOptions, type ImageReader } from './image/image-reader.ts';
export type { ImageSource } from './image/open-source.ts';
export type { RandomAccess } from './image/random-access.ts';
export { inspectImage, type BlockReport, type ImageReport } from './image/inspect.ts';
export { inspectDevices, type InspectDevicesOptions } from './image/devices.ts';
export { planImage, type ImagePlan, type PlannedBlock } from './image/layout.ts';
export { countBits, runsOf, type PageRun } from './image/bitmap.ts';
