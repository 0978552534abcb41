import type { MultifdError } from '../../util/errors.ts';
import type { DeviceReport } from '../../stream/index.ts';

/** One line of JSON Lines on stdout. */
export function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** The last line of a command: how it ended, `content`, and why if it did not complete. */
export function printResult(content: object, error?: MultifdError): void {
  printJson({ event: eventOf(error), ...content, ...(error && { error: error.toRecord() }) });
}

function eventOf(error: MultifdError | undefined): 'completed' | 'failed' | 'cancelled' {
  if (error === undefined) return 'completed';
  return error.code === 'ERR_CANCELLED' ? 'cancelled' : 'failed';
}

/**
 * One object, `{"devices":[...]}`, written device by device; the devices are null if they cannot be
 * told apart.
 */
export function printDevices(devices: readonly DeviceReport[] | null): void {
  if (devices === null) return printJson({ devices });
  process.stdout.write('{"devices":[');
  devices.forEach((device, index) =>
    process.stdout.write((index === 0 ? '' : ',') + JSON.stringify(device, asPlainData)),
  );
  process.stdout.write(']}\n');
}

/** What JSON has no form for: 64-bit integers as decimal strings, also small ones; bytes as hex. */
function asPlainData(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return value instanceof Uint8Array
    ? Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')
    : value;
}
