import { Section } from './constants.ts';

/** A device section, found by its description. */
export interface TailSection {
  readonly idstr: string;
  readonly instanceId: number;
  readonly version: number;
  readonly sectionId: number;
  /** Position of the section's content in the tail. */
  readonly offset: number;
  /** Bytes of content, without header and footer. */
  readonly size: number;
}

/** Subsections of subsections; QEMU's own devices nest them twice. */
const MAX_DEPTH = 16;

type Json = Readonly<Record<string, unknown>>;

/** Thrown and caught in this file: the bytes are not what the description says. */
class Mismatch extends Error {}

/**
 * Follows the sections of a tail by their description (QEMU's VMDESCRIPTION). A section's content is its fields in
 * order, each of `size` bytes, or `array_len` times that; then its subsections:
 *
 *     05 | u8 length, vmsd_name | be32 version | fields | subsections
 *
 * @param bytes the tail up to and with its EOF mark.
 * @returns undefined unless every section is where the description says and the EOF mark follows the last one.
 */
export function walkSections(bytes: Uint8Array, devices: readonly unknown[]): TailSection[] | undefined {
  const cursor = new Cursor(bytes);
  try {
    const sections = devices.map((device) => section(cursor, asObject(device)));
    cursor.expect(Section.EOF);
    return cursor.atEnd ? sections : undefined;
  } catch (error) {
    if (error instanceof Mismatch) return undefined;
    throw error;
  }
}

/** Whether a tail that begins with `head` (269 bytes are enough) begins with the section that `device` describes. */
export function beginsWithSection(head: Uint8Array, device: unknown): boolean {
  try {
    sectionHeader(new Cursor(head), asObject(device));
    return true;
  } catch (error) {
    if (error instanceof Mismatch) return false;
    throw error;
  }
}

function section(cursor: Cursor, device: Json): TailSection {
  const header = sectionHeader(cursor, device);
  const offset = cursor.position;
  skipContent(cursor, device, 0);
  const size = cursor.position - offset;
  cursor.expect(Section.FOOTER);
  if (cursor.u32() !== header.sectionId) throw new Mismatch();
  return { ...header, offset, size };
}

/** 04 | be32 section id | u8 length, idstr | be32 instance | be32 version. Devices of the oldest kind have no described version. */
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

function skipContent(cursor: Cursor, description: Json, depth: number): void {
  if (depth > MAX_DEPTH) throw new Mismatch();
  for (const field of asList(description['fields'])) {
    const { size, array_len: count = 1 } = asObject(field);
    cursor.skip(asCount(size) * asCount(count));
  }
  for (const entry of asList(description['subsections'])) {
    const subsection = asObject(entry);
    cursor.expect(Section.SUBSECTION);
    if (cursor.name() !== subsection['vmsd_name'] || cursor.u32() !== subsection['version']) throw new Mismatch();
    skipContent(cursor, subsection, depth + 1);
  }
}

class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.position === this.#bytes.length;
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
    if (count > this.#bytes.length - at) throw new Mismatch();
    this.position = at + count;
    return at;
  }
}

function asObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null) throw new Mismatch();
  return value as Json;
}

function asList(value: unknown): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new Mismatch();
  return value;
}

function asCount(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new Mismatch();
  return value;
}
