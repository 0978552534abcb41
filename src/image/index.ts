export { FileOutput } from './file-output.ts';
export {
  planImage,
  type ImagePlan,
} from './mapped-ram/layout.ts';
export { ImageWriter, type ImageWriterOptions } from './mapped-ram/writer.ts';
export { ImageUpdate } from './mapped-ram/update.ts';
export { finishImageUpdate } from './mapped-ram/finish-update.ts';
export { hasStamp, type Stamp } from '../files/local-file.ts';
export { isWebAddress } from './access/open.ts';
export {
  isImage,
  openImage,
  sourceKind,
} from './formats.ts';
export { blockLengthFor, fileLengthRecord, trueLengths } from './mapped-ram/records.ts';
export {
  extractBlock,
  extractCore,
  type CoreReport,
  type ExtractOptions,
  type ExtractProgress,
  type ExtractTarget,
} from './export/extract.ts';
export {
  inspectDevices,
  inspectImage,
  reportOthers,
  reportSections,
  type ImageReport,
  type OtherReport,
  type SectionReport,
} from './mapped-ram/inspect.ts';
export { countBits, runsOf } from './mapped-ram/bitmap.ts';
