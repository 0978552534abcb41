import { Section } from '../constants.ts';

/** A device section, found by its description. */
export interface TailSection {
  /** The device, as QEMU's savevm calls it. */
  readonly idstr: string;
  /** Several devices may have one idstr. */
  readonly instanceId: number;
  /** Of the device's layout. */
  readonly version: number;
  /** As the stream numbers it. */
  readonly sectionId: number;
  /** Position of the section's content in the tail, in bytes. */
  readonly offset: number;
  /** Bytes of content, without header and footer. */
  readonly size: number;
}

/** Told of what a description describes, in the order of the bytes. Offsets are the cursor's. */
export interface ContentVisitor {
  /** `count` elements of `size` bytes each; `count` is undefined for a field that is no array. */
  field(field: Json, offset: number, size: number, count: number | undefined): void;
  /** A subsection begins, with its header; gives who is told of its content. */
  subsection(subsection: Json, offset: number): ContentVisitor;
}

/** Subsections and structs in one another; QEMU's own devices nest them eight deep. */
const MAX_DEPTH = 16;

/**
 * Follows the sections of a tail by their description (QEMU's VMDESCRIPTION).
 *
 * @param bytes the tail up to and with its EOF mark.
 * @returns one section per device, in the same order; undefined unless every section is where the
 *   description says and the EOF mark follows the last one.
 */
export function walkSections(
  bytes: Uint8Array,
  devices: Iterable<Json>,
): TailSection[] | undefined {
  const cursor = new Cursor(bytes);
  try {
    const sections: TailSection[] = [];
    for (const device of devices) sections.push(section(cursor, device));
    cursor.expect(Section.EOF);
    return cursor.atEnd ? sections : undefined;
  } catch (error) {
    if (error instanceof Mismatch) return undefined;
    throw error;
  }
}

/**
 * Whether a tail that begins with `head` (269 bytes are enough) begins with the section that
 * `device` describes.
 */
export function beginsWithSection(head: Uint8Array, device: Json): boolean {
  try {
    sectionHeader(new Cursor(head), device);
    return true;
  } catch (error) {
    if (error instanceof Mismatch) return false;
    throw error;
  }
}

/** Whether `bytes` are the section that `device` describes, no more and no less. */
export function isSection(bytes: Uint8Array, device: Json): boolean {
  try {
    const cursor = new Cursor(bytes);
    section(cursor, device);
    return cursor.atEnd;
  } catch (error) {
    if (error instanceof Mismatch) return false;
    throw error;
  }
}

/**
 * Follows the content of a section, struct or subsection by its description: its fields in order,
 * each of `size` bytes, or `array_len` times that; then its subsections:
 *
 *     05 | u8 length, vmsd_name | be32 version | fields | subsections
 *
 * A struct's own fields are within its `size`; who wants them walks them with a cursor of its own.
 *
 * @param depth how many descriptions this one lies within.
 * @throws Mismatch if the bytes are not what the description says, or it is nested beyond reason.
 */
export function walkContent(
  cursor: Cursor,
  description: Json,
  depth = 0,
  visitor?: ContentVisitor,
): void {
  if (depth > MAX_DEPTH) throw new Mismatch();
  for (const entry of asList(description['fields'])) {
    const field = asObject(entry);
    const size = asCount(field['size']);
    const count = field['array_len'] === undefined ? undefined : asCount(field['array_len']);
    const offset = cursor.skip(size * (count ?? 1));
    visitor?.field(field, offset, size, count);
  }
  for (const entry of asList(description['subsections'])) {
    const subsection = asObject(entry);
    const within = visitor?.subsection(subsection, cursor.position);
    cursor.expect(Section.SUBSECTION);
    if (cursor.name() !== subsection['vmsd_name'] || cursor.u32() !== subsection['version'])
      throw new Mismatch();
    walkContent(cursor, subsection, depth + 1, within);
  }
}

function section(cursor: Cursor, device: Json): TailSection {
  const header = sectionHeader(cursor, device);
  const offset = cursor.position;
  walkContent(cursor, device);
  const size = cursor.position - offset;
  cursor.expect(Section.FOOTER);
  if (cursor.u32() !== header.sectionId) throw new Mismatch();
  return { ...header, offset, size };
}

/**
 * 04 | be32 section id | u8 length, idstr | be32 instance | be32 version. Devices of the oldest
 * kind have no described version.
 */
function sectionHeader(cursor: Cursor, device: Json): Omit<TailSection, 'offset' | 'size'> {
  cursor.expect(Section.FULL);
  const sectionId = cursor.u32();
  const idstr = cursor.name();
  const instanceId = cursor.u32();
  const version = cursor.u32();
  const { name, instance_id: instance, version: described = version } = device;
  if (idstr !== name || instanceId !== instance || version !== described) throw new Mismatch();
  return { idstr, instanceId, version, sectionId };
}

/** An object of a description, whose keys are yet to be checked. */
export type Json = Readonly<Record<string, unknown>>;

/**
 * The bytes are not what the description says, or the description is none. Thrown and caught by
 * those who follow descriptions; never leaves this folder.
 */
export class Mismatch extends Error {}

/** Reads bytes in order; every method throws {@link Mismatch} for what is not there. */
export class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  position: number;
  readonly #end: number;

  /** From `position` up to `end` of `bytes`; by default all of them. */
  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = position;
    this.#end = end;
  }

  get atEnd(): boolean {
    return this.position === this.#end;
  }

  expect(byte: number): void {
    if (this.#bytes[this.skip(1)] !== byte) throw new Mismatch();
  }

  u32(): number {
    return this.#view.getUint32(this.skip(4));
  }

  name(): string {
    const length = this.#view.getUint8(this.skip(1));
    const at = this.skip(length);
    return new TextDecoder().decode(this.#bytes.subarray(at, at + length));
  }

  /** Gives where the skipped bytes begin. */
  skip(count: number): number {
    const at = this.position;
    if (count > this.#end - at) throw new Mismatch();
    this.position = at + count;
    return at;
  }
}

export function asObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null) throw new Mismatch();
  return value as Json;
}

/** A list that may be missing. */
export function asList(value: unknown): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new Mismatch();
  return value;
}

export function asCount(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new Mismatch();
  return value;
}
