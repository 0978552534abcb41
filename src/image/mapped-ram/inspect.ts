import { formatUuid } from '../../util/bytes.ts';
import { answering, givenText } from '../../util/checks.ts';
import { givenOptions, type OptionNames } from '../../util/options.ts';
import { countBits } from './bitmap.ts';
import {
  IMAGE_NAMES,
  openAs,
  openImage,
  type ImageBlock,
  type ImageOptions,
  type ImageReader,
} from '../formats.ts';
import type { ImageSource } from '../access/open.ts';
import {
  describeDevices,
  type DeviceReport,
  type OtherDevice,
  selectDevices,
  type TailSection,
} from '../../stream/index.ts';
import { type WithOldNames, withOldNames } from '../../util/old-names.ts';

/** @inline */
interface NamedBlock {
  /** The RAM block's name. */
  id: string;
  /** Whole pages. */
  'used-length': number;
  /** True length of the file that became the block; else the used length. */
  length: number;
  pages: number;
  /** Pages whose content is in the file. */
  normal: number;
  /** Pages that are all zero and not in the file. */
  duplicate: number;
  /** Of those that are in the file. */
  'normal-bytes': number;
  /** One bit a page, in 64-bit words. */
  'bitmap-offset': number;
  /** Page p is at `pages-offset + p * page-size`. */
  'pages-offset': number;
  /** Left out by x-ignore-shared: the file has nothing of it, and its pages count as neither. */
  ignored: boolean;
}

const OLD_TOTALS = {
  'used-length': 'usedLength',
  normal: 'present',
  duplicate: 'zero',
  'normal-bytes': 'presentBytes',
} as const;
const OLD_BLOCK = {
  ...OLD_TOTALS,
  'bitmap-offset': 'bitmapOffset',
  'pages-offset': 'pagesOffset',
} as const;

/**
 * A block in the report of an image. Lengths and offsets in bytes.
 */
export type BlockReport = WithOldNames<NamedBlock, typeof OLD_BLOCK>;

/** @inline */
type Totals = Pick<NamedBlock, 'used-length' | 'pages' | 'normal' | 'duplicate' | 'normal-bytes'>;

/** A device section in a report. */
export type SectionReport = WithOldNames<
  {
    /** The device, as QEMU's savevm calls it: `ram`, `cpu`, `0000:00:02.0/vga`. */
    idstr: string;
    /** Several devices may have one idstr. */
    'instance-id': number;
    /** Of the device's layout. */
    version: number;
    /** Bytes of content. */
    size: number;
  },
  typeof OLD_SECTION
>;

/** A device with sections that are not "ram" and came before the device sections, in a report. */
export interface OtherReport {
  /** The device, as QEMU's savevm calls it: `spapr/htab`, `dirty-bitmap`. */
  idstr: string;
  'instance-id': number;
  /** Of its layout. */
  version: number;
  /** How many: START, PART, END, or one that is FULL. */
  sections: number;
  /** Of all of them, with headers and footers. */
  bytes: number;
}

const OLD_SECTION = { 'instance-id': 'instanceId' } as const;

/** @inline */
interface NamedImage {
  /** Machine type, such as `pc-i440fx-10.0`. */
  machine: string;
  /** Those that change the format: `mapped-ram`. */
  capabilities: string[];
  /** In the usual form with dashes; null if the image has none. */
  uuid: string | null;
  'page-size': number;
  'file-size': number;
  /**
   * What the file takes on the disk; holes take nothing. null if it is no file on a disk of this
   * machine.
   */
  'size-on-disk': number | null;
  blocks: BlockReport[];
  /** The device sections; null if they cannot be told apart. */
  sections: SectionReport[] | null;
  /** Devices with sections that go along with the RAM, or come before it. */
  others: OtherReport[];
  /** Everything after the RAM: device sections with their headers, EOF, VMDESCRIPTION. */
  'tail-bytes': number;
  totals: WithOldNames<Totals, typeof OLD_TOTALS>;
}

const OLD_IMAGE = {
  'page-size': 'pageSize',
  'file-size': 'fileSize',
  'size-on-disk': 'sizeOnDisk',
  'tail-bytes': 'tailBytes',
} as const;

/**
 * What is in an image; plain data, ready for JSON, with the names of a migration's result where it
 * has the same. Lengths and offsets in bytes.
 */
export type ImageReport = WithOldNames<NamedImage, typeof OLD_IMAGE>;

/**
 * Reports what is in an image.
 * @throws MultifdError what {@link openImage} throws; ERR_IMAGE for bitmaps that are none; ERR_IO.
 */
export function inspectImage(
  source: ImageSource,
  options: ImageOptions = {},
): Promise<ImageReport> {
  return answering(async () => {
    const image = await openImage(source, options);
    try {
      const found = await report(image);
      await image.verify();
      return found;
    } finally {
      await image.close();
    }
  });
}

async function report(image: ImageReader): Promise<ImageReport> {
  const { configuration, pageSize } = image;
  const blocks: BlockReport[] = [];
  for (const block of image.blocks) blocks.push(await reportBlock(image, block));
  const sum = (field: keyof Totals): number =>
    blocks.reduce((total, block) => total + block[field], 0);
  const totals = {
    'used-length': sum('used-length'),
    pages: sum('pages'),
    normal: sum('normal'),
    duplicate: sum('duplicate'),
    'normal-bytes': sum('normal-bytes'),
  };
  const { fileSize, sizeOnDisk } = await image.sizes();
  const named = {
    machine: configuration.machine,
    capabilities: [...configuration.capabilities],
    uuid: configuration.uuid === undefined ? null : formatUuid(configuration.uuid),
    'page-size': pageSize,
    'file-size': fileSize,
    'size-on-disk': sizeOnDisk,
    blocks,
    sections: reportSections(image.sections),
    others: reportOthers(image.otherDevices),
    'tail-bytes': image.tail.length,
    totals: withOldNames(totals, OLD_TOTALS),
  };
  return withOldNames(named, OLD_IMAGE);
}

/** Device sections as reports have them. */
export function reportSections(
  sections: readonly TailSection[] | undefined,
): SectionReport[] | null {
  const each = sections?.map(({ idstr, instanceId, version, size }) =>
    withOldNames({ idstr, 'instance-id': instanceId, version, size }, OLD_SECTION),
  );
  return each ?? null;
}

/** Devices with sections beside "ram", as reports have them. */
export function reportOthers(devices: readonly OtherDevice[]): OtherReport[] {
  return devices.map(({ idstr, instanceId, version, sections, bytes }) => ({
    idstr,
    'instance-id': instanceId,
    version,
    sections,
    bytes,
  }));
}

async function reportBlock(image: ImageReader, block: ImageBlock): Promise<BlockReport> {
  const pages = block.usedLength / image.pageSize;
  const normal = countBits(await image.readBitmap(block));
  const named = {
    id: block.id,
    'used-length': block.usedLength,
    length: block.trueLength,
    pages,
    normal,
    duplicate: block.ignored ? 0 : pages - normal,
    'normal-bytes': normal * image.pageSize,
    'bitmap-offset': block.bitmapOffset,
    'pages-offset': block.pagesOffset,
    ignored: block.ignored,
  };
  return withOldNames(named, OLD_BLOCK);
}

export interface InspectDevicesOptions extends ImageOptions {
  /** Only this device: an idstr, which may have several instances, or `idstr#instance`. */
  device?: string;
}

const INSPECT_DEVICES_NAMES = {
  ...IMAGE_NAMES,
  device: true,
} as const satisfies OptionNames<InspectDevicesOptions>;

/**
 * The devices of an image with all their fields.
 *
 * @returns null if the sections cannot be told apart.
 * @throws MultifdError ERR_NO_DEVICE, whose message lists what there is; and what openImage throws.
 */
export function inspectDevices(
  source: ImageSource,
  options: InspectDevicesOptions = {},
): Promise<DeviceReport[] | null> {
  return answering(async () => {
    const { device } = givenOptions('options of an image', options, INSPECT_DEVICES_NAMES);
    if (device !== undefined) givenText('device', device);
    const image = await openAs(source, options, INSPECT_DEVICES_NAMES);
    try {
      const devices = await devicesOf(image);
      await image.verify();
      return device === undefined ? (devices ?? null) : selectDevices(devices, device);
    } finally {
      await image.close();
    }
  });
}

/** The devices of an open image; undefined if the sections cannot be told apart. */
export async function devicesOf(image: ImageReader): Promise<DeviceReport[] | undefined> {
  return describeDevices(await image.readDevices());
}
