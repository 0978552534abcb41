import { MultifdError } from '../errors.ts';
import { describeDevices, type DeviceReport } from '../stream/index.ts';
import { openImage, type ImageOptions, type ImageReader } from './image-reader.ts';

export interface InspectDevicesOptions extends ImageOptions {
  /** Only this device: an idstr, which may have several instances, or `idstr#instance`. */
  device?: string;
}

/**
 * The devices of an image with all their fields.
 *
 * @returns null if the sections cannot be told apart.
 * @throws MultifdError ERR_NO_DEVICE, whose message lists what there is; and what openImage throws.
 */
export async function inspectDevices(path: string, options: InspectDevicesOptions = {}): Promise<DeviceReport[] | null> {
  const image = await openImage(path, options);
  try {
    const devices = await devicesOf(image);
    return options.device === undefined ? (devices ?? null) : find(devices, options.device);
  } finally {
    await image.close();
  }
}

/** The devices of an open image; undefined if the sections cannot be told apart. Throws what readTail throws. */
export async function devicesOf(image: ImageReader): Promise<DeviceReport[] | undefined> {
  return describeDevices(await image.readTail());
}

function find(devices: DeviceReport[] | undefined, wanted: string): DeviceReport[] {
  if (devices === undefined) throw noDevice(wanted, 'its device sections carry no description to tell them apart by');
  const named = devices.filter(({ idstr }) => idstr === wanted);
  const found = named.length > 0 ? named : devices.filter((device) => nameOf(device) === wanted);
  if (found.length > 0) return found;
  throw noDevice(wanted, devices.length === 0 ? 'it has none' : `it has ${devices.map(nameOf).join(', ')}`);
}

function nameOf({ idstr, instanceId }: DeviceReport): string {
  return `${idstr}#${instanceId}`;
}

function noDevice(wanted: string, what: string): MultifdError {
  return new MultifdError('ERR_NO_DEVICE', `the image has no device ${wanted}; ${what}`);
}
