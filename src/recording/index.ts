export { record, type IncomingRecording } from './record.ts';
export type { RecordOptions } from './record-options.ts';
export type { RecordingStatistics } from './statistics.ts';
