export { FileOutput, type FileOutputOptions } from './file-output.ts';
export { syncFolder } from './folder.ts';
export { type Hidden, hiddenBeside, HiddenName, KEPT, leftOver } from './hidden.ts';
export { io, statIfThere, systemCode, writeFully } from './io.ts';
export { planImage, type ImagePlan, type ImageShape, type PlannedBlock } from './layout.ts';
export { ImageWriter, type ImageWriterOptions } from './image-writer.ts';
export { ImageUpdate, type ImageUpdateOptions, type UpdateContent } from './image-update.ts';
export { finishImageUpdate } from './finish-update.ts';
export { hasStamp, type Stamp } from './stamp.ts';
export { isWebAddress, type ImageSource } from './open-source.ts';
export type { RandomAccess } from './random-access.ts';
export { BlockContent } from './read-ahead.ts';
export {
  isImage,
  openImage,
  type ImageBlock,
  type ImageOptions,
  type ImageReader,
} from './image-reader.ts';
export { blockLengthFor, fileLengthRecord } from './records.ts';
export { extractBlock, extractCore, type CoreReport, type ExtractOptions } from './extract.ts';
export { inspectDevices, type InspectDevicesOptions } from './devices.ts';
export { formatUuid } from '../bytes.ts';
export { inspectImage, type BlockReport, type ImageReport } from './inspect.ts';
export { countBits, runsOf, type PageRun } from './bitmap.ts';
