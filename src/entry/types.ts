/** The types of a migration, the same at every entry. */
export type { Closable } from '../util/closing.ts';
export type { PromiseWithProgress } from '../util/progress.ts';
export type { ErrorCode, ErrorPlace, ErrorRecord } from '../util/errors.ts';
export type { OutgoingOptions, ZeroPageDetection } from '../migration/outgoing/index.ts';
export type { IncomingMigration, IncomingOptions } from '../migration/incoming/index.ts';
export type { DeviceState } from '../blocks/payloads.ts';
export type { PageSink } from '../blocks/page-targets.ts';
export type { ImageStore } from '../image/sinks/store-sink.ts';
export type { BlockSource, OutgoingBlock, PageSource } from '../blocks/sources.ts';
export type { BlockTarget, BlockTargets, IncomingBlock } from '../blocks/targets.ts';
export type { ConnectChannel, MigrationOptions } from '../migration/options.ts';
export type { WorkerRole } from '../channel/workers/role.ts';
export type {
  ChannelStatistics,
  MigrationStatistics,
  RamStatistics,
} from '../migration/statistics.ts';
export type {
  ConnectionQueueOptions,
  /** @deprecated the name of {@link ConnectionQueueOptions} before 0.2. */
  ConnectionQueueOptions as InboxOptions,
} from '../transport/connection-queue.ts';
export type { ConnectionLike, GivenPort } from '../transport/connection-like.ts';
export type {
  EitherStreamPair,
  NodeDuplex,
  NodeReadable,
  NodeWritable,
} from '../transport/adapters/node-stream.ts';
export type { StreamPair } from '../transport/stream-connection.ts';
export type { IncomingTls, OutgoingTls } from '../transport/sockets/tls-credentials.ts';
export type { Compression } from '../compression/index.ts';
