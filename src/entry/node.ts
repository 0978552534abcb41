/**
 * multifd: moves large memory over N parallel channels, in QEMU's own multifd wire and file
 * formats.
 *
 * This is the migration level: an outgoing and an incoming end. The levels below are
 * `multifd/engine` (channels, slots, clients) and `multifd/core` (the WebAssembly kernels).
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
