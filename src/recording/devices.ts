import { describeDevices, type DeviceReport, selectDevices } from '../stream/index.ts';
import { answering, givenText } from '../util/checks.ts';
import { givenOptions, type OptionNames } from '../util/options.ts';
import {
  INSPECT_RECORDING_NAMES,
  type InspectRecordingOptions,
  readRecordingTail,
} from './inspect.ts';

/** Options of {@link inspectRecordedDevices}. */
export interface RecordedDevicesOptions extends InspectRecordingOptions {
  /** Only this device: an idstr, which may have several instances, or `idstr#instance`. */
  device?: string;
}

const NAMES = {
  ...INSPECT_RECORDING_NAMES,
  device: true,
} as const satisfies OptionNames<RecordedDevicesOptions>;

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
    const { device, ...options } = givenOptions('options', given, NAMES);
    if (device !== undefined) givenText('device', device);
    const devices = describeDevices(await readRecordingTail(path, options));
    return device === undefined ? (devices ?? null) : selectDevices(devices, device);
  });
}
