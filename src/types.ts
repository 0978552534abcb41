/** The types of a migration, the same at every entry. */
export type { ErrorCode, ErrorRecord } from './errors.ts';
export type { OutgoingOptions, ZeroPageDetection } from './migration/outgoing/index.ts';
export type { IncomingMigration, IncomingOptions } from './migration/incoming/index.ts';
export type { DeviceState } from './migration/channel/payloads.ts';
export type { PageSink } from './migration/channel/page-targets.ts';
export type { ImageStore } from './migration/memory/store-sink.ts';
export type { BlockSource, OutgoingBlock, PageSource } from './migration/memory/sources.ts';
export type { BlockTarget, BlockTargets, IncomingBlock } from './migration/memory/targets.ts';
export type { ConnectChannel, MigrationOptions, WorkerRole } from './migration/options.ts';
export type {
  ChannelStatistics,
  MigrationStatistics,
  RamStatistics,
} from './migration/statistics.ts';
export type { InboxOptions } from './transport/inbox.ts';
export type { Connectable } from './transport/connectable.ts';
export type { StreamPair } from './transport/stream-link.ts';
export type { IncomingTls, OutgoingTls } from './transport/node/tls-credentials.ts';
export type { Compression } from './compression/index.ts';
