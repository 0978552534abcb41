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
} from './formats.ts';
export type { ImageSource } from './access/open.ts';
export type { RandomAccess } from '../files/random-access.ts';
export {
  inspectDevices,
  inspectImage,
  type BlockReport,
  type ImageReport,
  type InspectDevicesOptions,
  type SectionReport,
} from './mapped-ram/inspect.ts';
export { planImage, type ImagePlan, type PlannedBlock } from './mapped-ram/layout.ts';
export { countBits, runsOf, type PageRun } from './mapped-ram/bitmap.ts';
export {
  describeDevices,
  type DeviceContent,
  type DeviceField,
  type DeviceReport,
  type DeviceSubsection,
} from '../stream/index.ts';
