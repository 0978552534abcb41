import { describeDevices, type DeviceReport, selectDevices } from '../stream/index.ts';
import { answering, givenObject, givenText } from '../util/checks.ts';
import { type InspectRecordingOptions, readRecordingTail } from './inspect.ts';

export interface RecordedDevicesOptions extends InspectRecordingOptions {
  /** Only this device: an idstr, which may have several instances, or `idstr#instance`. */
  device?: string;
}

/**
 * The devices of a recorded migration with all their fields.
 *
 * @returns null if the sections cannot be told apart.
 * @throws MultifdError ERR_NO_DEVICE, whose message lists what there is; and what
 *   readRecordingTail throws.
 */
export function inspectRecordedDevices(
  path: string,
  given: RecordedDevicesOptions = {},
): Promise<DeviceReport[] | null> {
  return answering(async () => {
    const { device, ...options } = givenObject('options', given);
    if (device !== undefined) givenText('device', device);
    const devices = describeDevices(await readRecordingTail(path, options));
    return device === undefined ? (devices ?? null) : selectDevices(devices, device);
  });
}
