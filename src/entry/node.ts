/**
 * The migration level: an outgoing and an incoming end, recordings, a proxy. It has all of
 * `multifd/live` and `multifd/image` too; the levels below are `multifd/engine` (channels, slots,
 * clients) and `multifd/core` (the WebAssembly kernels).
 *
 * The wire format is QEMU's: migration/multifd.h for the packets of the channels, migration/ram.c
 * and migration/savevm.c for the main channel, of 7.2 to 10.0.
 *
 * @module multifd
 */
export * from './common.ts';
export { proxy, type Proxy, type ProxyOptions, type ProxyStatistics } from '../proxy/index.ts';
export {
  extractBlock,
  extractCore,
  finishImageUpdate,
  type CoreReport,
  type ExtractOptions,
  type ExtractProgress,
  type ExtractTarget,
  type Stamp,
} from '../image/index.ts';
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
} from '../recording/index.ts';
