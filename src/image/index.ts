export { FileOutput, syncFolder, type FileOutputOptions } from './file-output.ts';
export { io, systemCode, writeFully } from './io.ts';
export { planImage, type ImagePlan, type ImageShape, type PlannedBlock } from './layout.ts';
export { ImageWriter, type ImageWriterOptions } from './image-writer.ts';
export { isImage, openImage, type ImageBlock, type ImageOptions, type ImageReader } from './image-reader.ts';
export { blockLengthFor, fileLengthRecord } from './records.ts';
export { formatUuid, inspectImage, type BlockReport, type ImageReport } from './inspect.ts';
export { extractBlock, type ExtractOptions } from './extract.ts';
export { countBits, runsOf, type PageRun } from './bitmap.ts';
