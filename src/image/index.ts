export { FileOutput, type FileOutputOptions } from './file-output.ts';
export { syncFolder } from '../files/io.ts';
export { type Hidden, hiddenBeside, HiddenName, KEPT, leftOver } from '../files/hidden.ts';
export { io, statIfThere, systemCode, writeFully } from '../files/io.ts';
export {
  planImage,
  type ImagePlan,
  type ImageShape,
  type PlannedBlock,
} from './mapped-ram/layout.ts';
export { ImageWriter, type ImageWriterOptions } from './mapped-ram/writer.ts';
export { ImageUpdate, type ImageUpdateOptions, type UpdateContent } from './mapped-ram/update.ts';
export { finishImageUpdate } from './mapped-ram/finish-update.ts';
export { hasStamp, type Stamp } from '../files/local-file.ts';
export { isWebAddress, type ImageSource } from './access/open.ts';
export type { RandomAccess } from '../files/random-access.ts';
export { BlockContent } from './mapped-ram/read-ahead.ts';
export {
  isImage,
  openImage,
  type ImageBlock,
  type ImageOptions,
  type ImageReader,
} from './formats.ts';
export { blockLengthFor, fileLengthRecord } from './mapped-ram/records.ts';
export {
  extractBlock,
  extractCore,
  type CoreReport,
  type ExtractOptions,
} from './export/extract.ts';
export { inspectDevices, type InspectDevicesOptions } from './mapped-ram/inspect.ts';
export { formatUuid } from '../util/bytes.ts';
export { inspectImage, type BlockReport, type ImageReport } from './mapped-ram/inspect.ts';
export { countBits, runsOf, type PageRun } from './mapped-ram/bitmap.ts';
