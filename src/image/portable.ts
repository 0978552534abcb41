/**
 * Mapped-ram images on every runtime: read from files, Blobs, over HTTP, or by random access of the
 * caller's own. All of it is exported by `multifd` as well.
 *
 * The format is QEMU's, since 9.0: docs/devel/migration/mapped-ram.rst and migration/ram.c
 * (`MappedRamHeader`) there.
 *
 * @module multifd/image
 */
export {
  isImage,
  openImage,
  type ImageBlock,
  type ImageOptions,
  type ImageReader,
} from './formats.ts';
export type { ImageSource } from './access/open.ts';
export type { UrlOptions } from './access/http.ts';
export {
  opfsImage,
  type OpfsFolder,
  type OpfsImageOptions,
} from './sinks/opfs-store.ts';
export type { OpfsFile, SyncFile, WritableFile } from './sinks/opfs-writer.ts';
export type { RandomAccess } from '../files/random-access.ts';
export {
  inspectDevices,
  inspectImage,
  type BlockReport,
  type ImageReport,
  type InspectDevicesOptions,
  type OtherReport,
  type SectionReport,
} from './mapped-ram/inspect.ts';
export {
  planImage,
  type ImagePlan,
  type ImageShape,
  type PlannedBlock,
} from './mapped-ram/layout.ts';
export { countBits, runsOf, type PageRun } from './mapped-ram/bitmap.ts';
export {
  describeDevices,
  type DeviceContent,
  type DeviceField,
  type DeviceRecord,
  type DeviceReport,
  type DeviceSubsection,
  type DeviceTail,
  type FieldPlace,
  type OtherBytes,
  type OtherDevice,
  type TailSection,
  type VmDescription,
  type Configuration,
} from '../stream/index.ts';
