import { concat } from '../../util/bytes.ts';
import { MultifdError } from '../../util/errors.ts';
import { ByteWriter } from '../byte-writer.ts';
import { RAM_SECTION_ID, Section } from '../constants.ts';
import { devicesIn } from '../description.ts';
import { TailScanner, type VmDescription } from './tail-scanner.ts';
import { walkSections, type TailSection } from './tail-walk.ts';
import type { DeviceReport } from './device-fields.ts';

/** State that is no RAM, as one opaque piece. */
export interface DeviceRecord {
  /** 1 to 255 bytes of UTF-8. */
  readonly idstr: string;
  /** Unsigned 32-bit; tells records of the same idstr apart. */
  readonly instanceId: number;
  readonly data: Uint8Array;
}

/** What follows the RAM in a stream or image. */
export interface DeviceTail {
  /**
   * The device sections in order; undefined when their description is missing or does not fit the
   * bytes exactly.
   */
  readonly sections: readonly TailSection[] | undefined;
  /** Where the description's text is, if there is one. */
  readonly description: VmDescription | undefined;
  /** Bytes that belong to the tail; 0 when they end before the tail does. */
  readonly length: number;
  /** The sections with their content, as views; none when `sections` is undefined. */
  records(): DeviceRecord[];
}

const RECORD_VERSION = 1;

/**
 * What follows the RAM, for memory that is no VM's: each record as a FULL section with one opaque
 * field, and the description that lets any reader of QEMU's format follow them. Without records it
 * is one EOF byte.
 *
 *     per record: 04 | be32 section id | u8 length, idstr | be32 instance | be32 version | data |
 *     7e | be32 section id 00 | 06 | be32 length | JSON
 *
 * @param pageSize bytes; the description says it.
 * @throws MultifdError ERR_OPTION for an idstr that is empty or longer than 255 bytes;
 *   ERR_UNSUPPORTED if no reader could tell where the tail ends: the description takes more than 16
 *   MiB, or data contains the end of a tail that begins with the same record.
 */
export function buildTail(records: readonly DeviceRecord[], pageSize: number): Uint8Array {
  return concat(tailPieces(records, pageSize));
}

/** The same in pieces, the records' own data among them. Throws what {@link buildTail} does. */
export function tailPieces(records: readonly DeviceRecord[], pageSize: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let writer = new ByteWriter();
  records.forEach(({ idstr, instanceId, data }, index) => {
    const sectionId = RAM_SECTION_ID + 1 + index;
    writer.u8(Section.FULL).u32(sectionId).name(idstr).u32(instanceId).u32(RECORD_VERSION);
    pieces.push(writer.finish(), data);
    writer = new ByteWriter().u8(Section.FOOTER).u32(sectionId);
  });
  writer.u8(Section.EOF);
  if (records.length === 0) return [writer.finish()];
  const description = new TextEncoder().encode(
    JSON.stringify({
      page_size: pageSize,
      devices: records.map(({ idstr, instanceId, data }) => ({
        name: idstr,
        instance_id: instanceId,
        vmsd_name: idstr,
        version: RECORD_VERSION,
        fields: [{ name: 'data', type: 'buffer', size: data.length }],
      })),
    }),
  );
  pieces.push(writer.u8(Section.VMDESCRIPTION).u32(description.length).finish(), description);
  const scanner = new TailScanner();
  if (pieces.some((piece) => scanner.feed(piece) !== piece.length) || !scanner.complete) {
    throw new MultifdError(
      'ERR_UNSUPPORTED',
      'the device records are too many to describe, or one contains the end of another ' +
        'stream that begins with the same record; encode it differently',
    );
  }
  return pieces;
}

/**
 * Reads a tail, as far as its description allows. Never throws: a tail that cannot be followed is
 * still one to carry.
 */
export function readTail(bytes: Uint8Array): DeviceTail {
  const scanner = new TailScanner();
  const taken = scanner.feed(bytes);
  const { description } = scanner;
  let sections: TailSection[] | undefined;
  // The description's text is preceded by the EOF mark, its own section byte and its length.
  if (description !== undefined) {
    const { offset, length } = description;
    const devices = devicesIn(bytes.subarray(offset, offset + length));
    sections = walkSections(bytes.subarray(0, offset - 5), devices);
  }
  if (description === undefined && taken === 1 && bytes[0] === Section.EOF) sections = [];
  return {
    sections,
    description,
    length: scanner.complete || scanner.endsWithMark ? taken : 0,
    records: () =>
      (sections ?? []).map(({ idstr, instanceId, offset, size }) => ({
        idstr,
        instanceId,
        data: bytes.subarray(offset, offset + size),
      })),
  };
}

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
