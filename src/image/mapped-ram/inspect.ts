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
import { describeDevices, type DeviceReport, selectDevices } from '../../stream/index.ts';

/** A block in a report. Lengths and offsets in bytes. */
export interface BlockReport {
  id: string;
  usedLength: number;
  /** True length of the file that became the block; else the used length. */
  length: number;
  pages: number;
  /** Pages whose content is in the file. */
  present: number;
  /** Pages that are all zero and not in the file. */
  zero: number;
  presentBytes: number;
  bitmapOffset: number;
  pagesOffset: number;
}

/** What is in an image; plain data, ready for JSON. Lengths and offsets in bytes. */
export interface ImageReport {
  machine: string;
  capabilities: string[];
  /** In the usual form with dashes; null if the image has none. */
  uuid: string | null;
  pageSize: number;
  fileSize: number;
  /**
   * What the file takes on the disk; holes take nothing. null if it is no file on a disk of this
   * machine.
   */
  sizeOnDisk: number | null;
  blocks: BlockReport[];
  /** The device sections; null if they cannot be told apart. */
  sections: Array<{ idstr: string; instanceId: number; version: number; size: number }> | null;
  /** Everything after the RAM: device sections with their headers, EOF, VMDESCRIPTION. */
  tailBytes: number;
  totals: {
    usedLength: number;
    pages: number;
    present: number;
    zero: number;
    presentBytes: number;
  };
}

/** Reports what is in an image. Throws what openImage and readBitmap throw. */
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
  const sum = (field: 'usedLength' | 'pages' | 'present' | 'zero' | 'presentBytes'): number =>
    blocks.reduce((total, block) => total + block[field], 0);
  const sections = image.sections?.map(({ idstr, instanceId, version, size }) => ({
    idstr,
    instanceId,
    version,
    size,
  }));
  return {
    machine: configuration.machine,
    capabilities: [...configuration.capabilities],
    uuid: configuration.uuid === undefined ? null : formatUuid(configuration.uuid),
    pageSize,
    ...(await image.sizes()),
    blocks,
    sections: sections ?? null,
    tailBytes: image.tail.length,
    totals: {
      usedLength: sum('usedLength'),
      pages: sum('pages'),
      present: sum('present'),
      zero: sum('zero'),
      presentBytes: sum('presentBytes'),
    },
  };
}

async function reportBlock(image: ImageReader, block: ImageBlock): Promise<BlockReport> {
  const pages = block.usedLength / image.pageSize;
  const present = countBits(await image.readBitmap(block));
  return {
    id: block.id,
    usedLength: block.usedLength,
    length: block.trueLength,
    pages,
    present,
    zero: pages - present,
    presentBytes: present * image.pageSize,
    bitmapOffset: block.bitmapOffset,
    pagesOffset: block.pagesOffset,
  };
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
  return describeDevices(await image.readTail());
}
