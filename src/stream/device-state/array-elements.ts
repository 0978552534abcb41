import type { DeviceField } from './device-fields.ts';

/**
 * Arrays whose elements QEMU describes one by one: fields that follow one another under one name.
 * Up to 10.0 all but the last have an "index"; from 11.1 on none has, and their order tells.
 *
 * Arrays of pointers have a byte for each element: `0`, it points to nothing, or `1`, and what it
 * points to is the next field of the name. Some (s390_css of all versions) have it for nothing
 * alone, and what is there comes without. Several bytes may be one field with an "array_len".
 */

/** `nullptr` up to 10.0. */
const MARKERS = new Set(['ptr-marker', 'nullptr']);
const NOTHING = 0x30;
const SOMETHING = 0x31;

/** The fields of a struct or a section, with each array of that kind made out. */
export function withElements(fields: readonly DeviceField[]): DeviceField[] {
  const found: DeviceField[] = [];
  for (let at = 0; at < fields.length; ) {
    const { name } = fields[at]!;
    let end = at + 1;
    while (end < fields.length && fields[end]!.name === name) end++;
    for (const field of elements(fields.slice(at, end))) found.push(field);
    at = end;
  }
  return found;
}

/** Of fields that follow one another under one name. */
function elements(run: readonly DeviceField[]): readonly DeviceField[] {
  const [{ name, type, offset }] = run as [DeviceField];
  if (!run.every((field) => isMarker(field) || field.type === 'struct')) {
    const indexed = run.every((field) => field.type === type) && run.some(hasIndex);
    return indexed ? numbered(run) : run;
  }
  if (!run.some(isMarker)) return run.length === 1 ? run : numbered(run);
  const pointers = pointersOf(run);
  if (pointers.length === 1) return pointers;
  const size = pointers.reduce((sum, pointer) => sum + pointer.size, 0);
  return [{ name, type, offset, size, kind: 'array', elements: numbered(pointers) }];
}

const hasIndex = ({ index }: DeviceField): boolean => index !== undefined;

/** Told by their order; some of them may be one field. */
function numbered(run: readonly DeviceField[]): DeviceField[] {
  let next = 0;
  const count = (field: DeviceField): DeviceField => ({ ...field, index: next++ });
  return run.map((field) =>
    field.kind === 'array' ? { ...field, elements: field.elements.map(count) } : count(field),
  );
}

function pointersOf(run: readonly DeviceField[]): DeviceField[] {
  const found: DeviceField[] = [];
  const flat = run.flatMap((field) => (isMarker(field) ? markersOf(field) : [field]));
  for (let at = 0; at < flat.length; at++) {
    const { index: _, ...field } = flat[at]!;
    const marker = markerOf(field);
    const next = flat[at + 1];
    if (marker === NOTHING) found.push({ ...placeOf(field), kind: 'pointer' });
    else if (marker === SOMETHING && next !== undefined && !isMarker(next)) {
      const { index: _, ...target } = next;
      const size = field.size + target.size;
      found.push({ ...placeOf(field), size, kind: 'pointer', target });
      at++;
    } else found.push(field);
  }
  return found;
}

function isMarker(field: DeviceField): boolean {
  return MARKERS.has(field.type) && (field.kind === 'array' || markerOf(field) !== undefined);
}

function markersOf(field: DeviceField): readonly DeviceField[] {
  return field.kind === 'array' ? field.elements : [field];
}

function markerOf(field: DeviceField): number | undefined {
  return MARKERS.has(field.type) && field.kind === 'bytes' && field.size === 1
    ? field.bytes[0]
    : undefined;
}

function placeOf({ name, type, offset, size }: DeviceField): {
  name: string;
  type: string;
  offset: number;
  size: number;
} {
  return { name, type, offset, size };
}
