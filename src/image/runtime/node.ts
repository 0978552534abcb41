/** Mapped-ram images in files, and snapshots. */
export { resolve as absolutePath } from 'node:path';
export { hasStamp, ImageUpdate } from '../index.ts';
export { imageSink } from '../sinks/image-sink.ts';
export { imageUpdateSink } from '../sinks/image-sink.ts';
