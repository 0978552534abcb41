import { answering, givenObject, givenText } from '../../util/checks.ts';
import { describeDevices, type DeviceReport, selectDevices } from '../../stream/index.ts';
import { openImage, type ImageOptions, type ImageReader } from './reader.ts';
import type { ImageSource } from '../access/open.ts';

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
export function inspectDevices(
  source: ImageSource,
  options: InspectDevicesOptions = {},
): Promise<DeviceReport[] | null> {
  return answering(async () => {
    const { device } = givenObject('options of an image', options);
    if (device !== undefined) givenText('device', device);
    const image = await openImage(source, options);
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
