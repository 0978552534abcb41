/** Mapped-ram images in files, and snapshots. */
export { resolve as absolutePath } from 'node:path';
export { hasStamp, ImageUpdate } from '../../image/index.ts';
export { imageSink } from '../../migration/memory/image-sink.ts';
export { imageUpdateSink } from '../../migration/memory/image-update-sink.ts';
