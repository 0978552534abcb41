import { MultifdError } from '../../util/errors.ts';
import type { DeviceReport } from './device-fields.ts';

/**
 * The devices that are called `wanted`: an idstr, which may have several instances, or
 * `idstr#instance`.
 *
 * @param devices undefined if the sections could not be told apart.
 * @throws MultifdError ERR_NO_DEVICE, whose message lists what there is.
 */
export function selectDevices(devices: DeviceReport[] | undefined, wanted: string): DeviceReport[] {
  if (devices === undefined)
    throw noDevice(wanted, 'the device sections carry no description to tell them apart by');
  const named = devices.filter(({ idstr }) => idstr === wanted);
  const found = named.length > 0 ? named : devices.filter((device) => nameOf(device) === wanted);
  if (found.length > 0) return found;
  throw noDevice(
    wanted,
    devices.length === 0 ? 'there is none at all' : `there are ${devices.map(nameOf).join(', ')}`,
  );
}

function nameOf({ idstr, instanceId }: DeviceReport): string {
  return `${idstr}#${instanceId}`;
}

function noDevice(wanted: string, what: string): MultifdError {
  return new MultifdError('ERR_NO_DEVICE', `there is no device ${wanted}; ${what}`);
}
