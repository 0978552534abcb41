import type { MultifdError } from '../../util/errors.ts';
import { withOldNames } from '../../util/old-names.ts';
import type { DeviceReport } from '../../stream/index.ts';

/** Numbers and names as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** A number of bytes with three digits or so: `96.2 MiB`. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? Math.round(value) : value.toFixed(value < 100 ? 1 : 0)} ${UNITS[power]}`;
}

/** Bytes per second, from the megabits per second of the statistics. */
export function formatRate(mbps: number): string {
  return `${formatBytes((mbps * 1e6) / 8)}/s`;
}

/** `1 block`, `2 blocks`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

export function formatDuration(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

/**
 * Text that came from a peer or a file, safe for a terminal: block names and the like may hold
 * escape sequences, and characters that turn the reading direction around.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

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
    process.stdout.write((index === 0 ? '' : ',') + JSON.stringify(named(device), asPlainData)),
  );
  process.stdout.write(']}\n');
}

/** With the names of all other reports; those of before stay for one release. */
function named({ instanceId, sectionId, ...device }: DeviceReport): object {
  const ids = { 'instance-id': instanceId, 'section-id': sectionId };
  return withOldNames(
    { ...ids, ...device },
    { 'instance-id': 'instanceId', 'section-id': 'sectionId' },
  );
}

/** What JSON has no form for: 64-bit integers as decimal strings, also small ones; bytes as hex. */
function asPlainData(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return value instanceof Uint8Array
    ? Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')
    : value;
}

export { formatTable } from './table.ts';
