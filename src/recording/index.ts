export { inspectRecordedDevices, type RecordedDevicesOptions } from './devices.ts';
export { record, type IncomingRecording } from './record.ts';
export type { RecordOptions } from './record.ts';
export type { RecordingStatistics } from './report.ts';
export { replay, type ReplayOptions } from './replay.ts';
export { inspectRecording, readRecordingTail, type InspectRecordingOptions } from './inspect.ts';
export type { RecordedBlockReport, RecordedChannelReport, RecordingReport } from './report.ts';
export { finishReplacing } from './replacing.ts';
