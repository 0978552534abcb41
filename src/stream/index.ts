export {
  bitmapLength,
  Command,
  DEFAULT_PAGE_SIZE,
  IGNORE_SHARED,
  isPageSize,
  MAPPED_RAM,
  MAPPED_RAM_ALIGNMENT,
  MAPPED_RAM_HEADER_LENGTH,
  MAX_PAGE_SIZE,
  MIN_PAGE_SIZE,
  STREAM_MAGIC,
} from './constants.ts';
export { ByteReader, type ByteReaderOptions, type ByteSource } from './byte-reader.ts';
export type { MappedRegion, RamBlock } from './blocks.ts';
export type { StreamCommand } from './commands.ts';
export { withCapability, withoutCapability, type Configuration } from './configuration.ts';
export type { MainStreamHandler, RamSectionKind, SyncMode } from './handler.ts';
export {
  deviceSections,
  LOADED_PING,
  postcopyAdvise,
  postcopyDiscard,
  postcopyPackage,
  postcopyResume,
  preemptEnd,
  receivedBitmapWanted,
  streamEof,
} from './postcopy-writer.ts';
export { PageWords, wordsLength } from './page-words.ts';
export {
  NO_OTHERS,
  type OtherBytes,
  OtherCollector,
  type OtherDevice,
  type OtherPlace,
  type OtherSection,
  PlacedBytes,
} from './other/section.ts';
export { machineRules } from './machine-type.ts';
export {
  DEFAULT_MAX_TAIL,
  parseMainStream,
  parseStreamHeader,
  type ParseOptions,
  type StreamSummary,
} from './parser.ts';
export {
  blockEntry,
  flushWord,
  openReturnPath,
  ping,
  ramEnd,
  ramPart,
  ramResize,
  ramSectionEnd,
  ramStart,
  streamHeader,
  zeroPage,
} from './writer.ts';
export {
  type PostcopyOffer,
  readReturnMessage,
  returnMessage,
  type ReturnMessage,
} from './return-path.ts';
export {
  buildTail,
  readTail,
  tailPieces,
  type DeviceRecord,
  type DeviceTail,
} from './device-state/device-sections.ts';
export type { TailSection } from './device-state/tail-walk.ts';
export type { FieldPlace } from './device-state/device-fields.ts';
export {
  describeDevices,
  type DeviceContent,
  type DeviceField,
  type DeviceReport,
  type DeviceSubsection,
} from './device-state/device-fields.ts';
export { selectDevices } from './device-state/device-sections.ts';
export { TailScanner, type VmDescription } from './device-state/tail-scanner.ts';
