/**
 * Mapped-ram images on every runtime: read from files, Blobs, over HTTP, or by random access of the
 * caller's own.
 */
export {
  isImage,
  openImage,
  type ImageBlock,
  type ImageOptions,
  type ImageReader,
} from './image-reader.ts';
export type { ImageSource } from './open-source.ts';
export type { RandomAccess } from './random-access.ts';
export { inspectImage, type BlockReport, type ImageReport } from './inspect.ts';
export { inspectDevices, type InspectDevicesOptions } from './devices.ts';
export { planImage, type ImagePlan, type PlannedBlock } from './layout.ts';
export { countBits, runsOf, type PageRun } from './bitmap.ts';
export {
  describeDevices,
  type DeviceContent,
  type DeviceField,
  type DeviceReport,
  type DeviceSubsection,
} from '../stream/index.ts';
