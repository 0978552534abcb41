import { givenBytes, guarding } from '../../util/checks.ts';
import { devicesIn } from '../description.ts';
import { withElements } from './array-elements.ts';
import { readTail, type DeviceTail } from './device-sections.ts';
import {
  asObject,
  Cursor,
  type Json,
  Mismatch,
  type ContentVisitor,
  type TailSection,
  walkContent,
} from './tail-walk.ts';

/** What every field has. */
export interface FieldPlace {
  readonly name: string;
  /** As the description has it: `uint32`, `struct`, `pci config`, ... */
  readonly type: string;
  /** Where it begins in the section's content, in bytes. */
  readonly offset: number;
  /** Bytes, of all elements together. */
  readonly size: number;
  /** Which element of an array this is. */
  readonly index?: number;
}

/** A field of a device section, with what is in it. */
export type DeviceField = FieldPlace &
  (
    | { readonly kind: 'integer'; readonly value: number | bigint }
    | { readonly kind: 'bool'; readonly value: boolean }
    /**
     * Bytes whose meaning the description does not tell. `note` says why, where one would expect
     * more.
     */
    | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly note?: string }
    | { readonly kind: 'struct'; readonly struct: DeviceContent }
    | { readonly kind: 'array'; readonly elements: readonly DeviceField[] }
    /** A byte, and behind it what it points to; without `target` it points to nothing. */
    | { readonly kind: 'pointer'; readonly target?: DeviceField }
  );

/** Fields and subsections in the order of their bytes. */
export interface DeviceContent {
  /** QEMU's name for the layout; undefined if the description has none. */
  readonly layout?: string;
  /** Of the layout. */
  readonly version?: number;
  readonly fields: readonly DeviceField[];
  readonly subsections: readonly DeviceSubsection[];
}

/** A part of a device's state that is only there when it is needed. */
export interface DeviceSubsection extends DeviceContent {
  /**
   * Where its header begins in the section's content, in bytes; its first field or subsection
   * follows the header.
   */
  readonly offset: number;
}

/** A device section with all its fields. */
export interface DeviceReport extends DeviceContent {
  /** The device, as QEMU's savevm calls it. */
  readonly idstr: string;
  /** Several devices may have one idstr. */
  readonly instanceId: number;
  readonly version: number;
  /** As the stream numbers it. */
  readonly sectionId: number;
  /** Bytes of content. */
  readonly size: number;
}

/**
 * How many fields, elements and subsections are told apart in all. A machine with many devices has
 * some ten thousand; what a file can claim is without bound.
 */
const MAX_FIELDS = 0x80000;
/** A byte 1 before each element, and a byte 0 at its end. */
const LIST = 'qtailq';
const NO_ELEMENTS = 'the elements of a list are not described';
const TOO_MANY = 'there are too many fields to list them all';

/**
 * Integers: be, of 8 to 64 bits. QEMU appends what it compares the value with when it loads: `int32
 * equal`, `int32 le`.
 */
const INTEGER = /^(u?)int(8|16|32|64)(?: [a-z]+)?$/;

/**
 * The fields of each device section, by the description that QEMU writes behind them
 * (VMDESCRIPTION: savevm.c and vmstate.c of its migration/). What the description does not tell, or
 * tells in contradiction to itself, comes as bytes: the fields always cover each section's content
 * without gap or overlap, but for the headers of subsections.
 *
 * @param tailBytes a tail: everything that follows the RAM in a stream or an image. The result has
 *   views of it.
 * @param tail what readTail has found in it.
 * @returns one report per section, in order; undefined if the sections cannot be told apart.
 *   Never throws.
 */
export function describeDevices(
  tailBytes: ArrayBufferView,
  tail?: Pick<DeviceTail, 'sections' | 'description'>,
): DeviceReport[] | undefined {
  return guarding(() => {
    const bytes = givenBytes('what follows the RAM', tailBytes);
    return describeAll(bytes, tail ?? readTail(bytes));
  });
}

function describeAll(
  bytes: Uint8Array,
  tail: Pick<DeviceTail, 'sections' | 'description'>,
): DeviceReport[] | undefined {
  const { sections, description } = tail;
  if (sections === undefined || description === undefined) return sections && [];
  const budget = { left: MAX_FIELDS };
  const reports: DeviceReport[] = [];
  // The sections were found by the same description, one for each device.
  const { offset, length } = description;
  for (const device of devicesIn(bytes.subarray(offset, offset + length))) {
    reports.push(describe(bytes, sections[reports.length]!, device, budget));
  }
  return reports;
}

function describe(
  bytes: Uint8Array,
  section: TailSection,
  device: Json,
  budget: Budget,
): DeviceReport {
  const { idstr, instanceId, version, sectionId, offset, size } = section;
  // Never a Buffer, even if the tail is one: those become JSON in a way of their own.
  const decoder = new Decoder(
    new Uint8Array(bytes.buffer, bytes.byteOffset + offset, size),
    budget,
  );
  return { idstr, instanceId, sectionId, size, ...decoder.content(device, 0, size, 0), version };
}

/** With arrays made out, in subsections too: the visitor of those has gone by then. */
function arranged<T extends DeviceContent>(content: T): T {
  const subsections = content.subsections.map(arranged);
  return { ...content, fields: withElements(content.fields), subsections };
}

/** Shared by all sections of a tail: how many more fields may be told apart. */
interface Budget {
  left: number;
}

/** Decodes one section; positions are those in its content. */
class Decoder {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #budget: Budget;

  constructor(bytes: Uint8Array, budget: Budget) {
    this.#budget = budget;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * What is described to fill the bytes from `offset` to `end` exactly. Throws Mismatch if it does
   * not.
   */
  content(description: Json, offset: number, end: number, depth: number): DeviceContent {
    const cursor = new Cursor(this.#bytes, offset, end);
    const { content, visitor } = this.#collector(description, depth);
    walkContent(cursor, description, depth, visitor);
    if (!cursor.atEnd) throw new Mismatch();
    return arranged(content);
  }

  #collector(
    description: Json,
    depth: number,
  ): { content: DeviceContent; visitor: ContentVisitor } {
    const { vmsd_name: layout, version } = description;
    const fields: DeviceField[] = [];
    const subsections: DeviceSubsection[] = [];
    return {
      content: {
        ...(typeof layout === 'string' && { layout }),
        ...(typeof version === 'number' && { version }),
        fields,
        subsections,
      },
      visitor: {
        field: (field, offset, size, count) =>
          void fields.push(this.#field(field, offset, size, count, depth)),
        subsection: (subsection, offset) => {
          // A section's own subsections are as many as its description has; but a struct is
          // described once for all its array's elements.
          if (this.#budget.left-- <= 0 && depth > 0) throw new Mismatch(TOO_MANY);
          const inner = this.#collector(subsection, depth + 1);
          subsections.push({ ...inner.content, offset });
          return inner.visitor;
        },
      },
    };
  }

  #field(
    field: Json,
    offset: number,
    size: number,
    count: number | undefined,
    depth: number,
  ): DeviceField {
    const { name, type, index } = field;
    const place: FieldPlace = {
      name: typeof name === 'string' ? name : '',
      type: typeof type === 'string' ? type : '',
      offset,
      size: size * (count ?? 1),
      ...(typeof index === 'number' && { index }),
    };
    if (count === undefined) return this.#element(field, place, depth);
    if (this.#budget.left-- <= 0 || count > this.#budget.left)
      return this.#asBytes(place, TOO_MANY);
    if (place.size === 0) return this.#asBytes(place, `${count} elements of ${size} bytes`);
    const elements: DeviceField[] = [];
    for (let at = 0; at < count; at++) {
      elements.push(
        this.#element(
          field,
          { name: place.name, type: place.type, offset: offset + at * size, size, index: at },
          depth,
        ),
      );
    }
    return { ...place, kind: 'array', elements };
  }

  #element(field: Json, place: FieldPlace, depth: number): DeviceField {
    if (this.#budget.left-- <= 0) return this.#asBytes(place, TOO_MANY);
    // A "struct" has its description in a place of its own; types that QEMU saves by means of a
    // struct ("tmp", "vstruct") have it in theirs.
    const description = field['struct'] ?? (field['fields'] === undefined ? undefined : field);
    if (description !== undefined) return this.#struct(description, place, depth);
    if (place.type === 'struct') return this.#asBytes(place, 'it is not described');
    return this.#scalar(place);
  }

  #struct(description: unknown, place: FieldPlace, depth: number): DeviceField {
    try {
      const struct = this.content(
        asObject(description),
        place.offset,
        place.offset + place.size,
        depth + 1,
      );
      return { ...place, kind: 'struct', struct };
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
      return this.#asBytes(place, error.message || 'its description does not fit its bytes');
    }
  }

  #scalar(place: FieldPlace): DeviceField {
    const { type, offset, size } = place;
    if (type === 'bool' && size === 1 && this.#bytes[offset]! < 2)
      return { ...place, kind: 'bool', value: this.#bytes[offset] === 1 };
    // A timer is its time in nanoseconds, -1 if it is not running.
    const [, unsigned, bits] = INTEGER.exec(type === 'timer' ? 'int64' : type) ?? [];
    if (bits === undefined)
      return this.#asBytes(place, type === LIST && size > 1 ? NO_ELEMENTS : undefined);
    if (Number(bits) !== size * 8) return this.#asBytes(place, `${size} bytes are no ${type}`);
    return { ...place, kind: 'integer', value: this.#integer(offset, size, unsigned === 'u') };
  }

  #asBytes(place: FieldPlace, note?: string): DeviceField {
    const bytes = this.#bytes.subarray(place.offset, place.offset + place.size);
    return { ...place, kind: 'bytes', bytes, ...(note !== undefined && { note }) };
  }

  #integer(offset: number, size: number, unsigned: boolean): number | bigint {
    const view = this.#view;
    if (size === 8) return unsigned ? view.getBigUint64(offset) : view.getBigInt64(offset);
    if (size === 4) return unsigned ? view.getUint32(offset) : view.getInt32(offset);
    if (size === 2) return unsigned ? view.getUint16(offset) : view.getInt16(offset);
    return unsigned ? view.getUint8(offset) : view.getInt8(offset);
  }
}
