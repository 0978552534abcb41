import type { DeviceContent, DeviceField, DeviceReport } from '../../stream/index.ts';
import { printable } from './format.ts';
import { cut } from './lines.ts';

/** One line of a device: a field, a run of equal elements, or a subsection's header. */
interface Line {
  readonly offset: number;
  /** Bytes; of one element, if the line stands for several. */
  readonly size: number | '';
  readonly type: string;
  readonly name: string;
  readonly value: string;
}

/** Bytes of a buffer that are shown; `--json` has them all. */
const SHOWN_BYTES = 32;

/**
 * A device with its fields, one a line. Equal elements of an array that follow one another share
 * their lines.
 */
export function deviceText(device: DeviceReport): string {
  const { idstr, instanceId, version, size } = device;
  const lines = contentLines(device, '');
  const width = (column: 'offset' | 'size' | 'type' | 'name'): number =>
    lines.reduce(
      (widest, line) =>
        Math.max(
          widest,
          column === 'offset' ? hex(line.offset).length : String(line[column]).length,
        ),
      column.length,
    );
  const [offsetWidth, sizeWidth, typeWidth, nameWidth] = [
    width('offset'),
    width('size'),
    width('type'),
    width('name'),
  ];
  const row = (offset: string, bytes: string, type: string, name: string, value: string): string =>
    (
      `  ${offset.padStart(offsetWidth)}  ${bytes.padStart(sizeWidth)}  ` +
      `${type.padEnd(typeWidth)}  ${name.padEnd(nameWidth)}  ${value}`
    ).trimEnd();
  const head = `${printable(idstr)}#${instanceId}  version ${version}, ${size} bytes`;
  if (lines.length === 0) return head;
  const rows = lines.map((line) =>
    row(hex(line.offset), String(line.size), line.type, line.name, line.value),
  );
  return [head, row('offset', 'size', 'type', 'name', 'value'), ...rows]
    .map((line) => cut(line, process.stdout))
    .join('\n');
}

function contentLines({ fields, subsections }: DeviceContent, prefix: string): Line[] {
  const lines = fields.flatMap((field) => fieldLines(field, prefix));
  for (const subsection of subsections) {
    const { offset, layout = '', version = 0 } = subsection;
    lines.push({
      offset,
      size: '',
      type: 'subsection',
      name: prefix + printable(layout),
      value: `version ${version}`,
    });
    for (const line of contentLines(subsection, prefix)) lines.push(line);
  }
  return lines;
}

function fieldLines(field: DeviceField, prefix: string): Line[] {
  const index = field.index === undefined ? '' : `[${field.index}]`;
  return valueLines(field, prefix + printable(field.name) + index);
}

function valueLines(field: DeviceField, name: string): Line[] {
  if (field.kind === 'struct') return contentLines(field.struct, `${name}.`);
  if (field.kind === 'array') return elementLines(field.elements, name);
  if (field.kind === 'pointer' && field.target !== undefined) return valueLines(field.target, name);
  const { offset, size } = field;
  return [{ offset, size, type: printable(field.type), name, value: valueText(field) }];
}

/**
 * Each element by its own lines, `name[3]`, but one that equals the elements before it joins them:
 * `name[3-7]`.
 */
function elementLines(elements: readonly DeviceField[], name: string): Line[] {
  if (elements.length === 0) return [];
  const lines: Line[] = [];
  const base = elements[0]!.index ?? 0;
  let first = 0;
  let own = unnamed(elements[0]);
  for (let next = 1; next <= elements.length; next++) {
    const following = unnamed(elements[next]);
    if (sameText(own, following)) continue;
    const [from, to] = [base + first, base + next - 1];
    const range = from === to ? `${from}` : `${from}-${to}`;
    for (const line of own ?? []) lines.push({ ...line, name: `${name}[${range}]${line.name}` });
    first = next;
    own = following;
  }
  return lines;
}

function unnamed(element: DeviceField | undefined): Line[] | undefined {
  return element && valueLines(element, '');
}

function sameText(one: Line[] | undefined, other: Line[] | undefined): boolean {
  if (one === undefined || other === undefined || one.length !== other.length) return false;
  return one.every(
    ({ name, value }, index) => name === other[index]!.name && value === other[index]!.value,
  );
}

function valueText(field: Exclude<DeviceField, { kind: 'struct' | 'array' }>): string {
  if (field.kind === 'pointer') return 'nothing';
  if (field.kind === 'bool') return String(field.value);
  if (field.kind === 'integer') return integerText(field.value, field.size);
  if (field.type === 'qtailq' && field.size === 1) return 'no elements';
  const note = field.note === undefined ? '' : ` (${field.note})`;
  return bytesText(field.bytes) + note;
}

function integerText(value: number | bigint, size: number): string {
  if (value >= 0 && value < 10) return String(value);
  return `${value} (0x${BigInt.asUintN(size * 8, BigInt(value)).toString(16)})`;
}

function bytesText(bytes: Uint8Array): string {
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  if (end === 0) return bytes.length === 0 ? 'empty' : 'all zero';
  const content = bytes.subarray(0, end);
  if (content.length <= 255 && content.every((byte) => byte >= 0x20 && byte < 0x7f))
    return JSON.stringify(String.fromCharCode(...content));
  const shown = Buffer.from(bytes.subarray(0, SHOWN_BYTES)).toString('hex');
  return bytes.length > SHOWN_BYTES ? `${shown}... (${bytes.length} bytes)` : shown;
}

function hex(offset: number): string {
  return `0x${offset.toString(16).padStart(4, '0')}`;
}
