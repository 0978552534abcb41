import type { DeviceContent, DeviceField, DeviceReport } from 'multifd';
import { make } from './dom.ts';
import { bytes, count, hex } from './format.ts';
import type { Shown } from './shown.ts';

/** Bytes of a field that are shown. */
const SHOWN_BYTES = 64;
/** Elements of an array that are shown at once. */
const SHOWN_ELEMENTS = 128;

/**
 * A tree of devices: each opens to its fields, which are made only then, for a machine has some ten
 * thousand.
 */
export function showDevices(into: HTMLElement, devices: Shown['devices']): void {
  if (devices === undefined) into.replaceChildren(make('p', { class: 'hint' }, 'They come last.'));
  else if (devices === 'not described')
    into.replaceChildren(
      make(
        'p',
        { class: 'hint' },
        'There are device sections, but no description that tells them apart.',
      ),
    );
  else if (devices.length === 0)
    into.replaceChildren(
      make('p', { class: 'hint' }, "There are none: the memory is no virtual machine's."),
    );
  else into.replaceChildren(...devices.map(deviceBranch));
}

function deviceBranch(device: DeviceReport): HTMLElement {
  const { idstr, instanceId, version, size } = device;
  return branch(`${idstr}#${instanceId}`, `version ${version}, ${bytes(size)}`, () =>
    contentNodes(device),
  );
}

/** Something that opens. */
function branch(name: string, about: string, content: () => Node[]): HTMLElement {
  const details = make(
    'details',
    {},
    make(
      'summary',
      {},
      make('span', { class: 'name' }, name),
      make('span', { class: 'about' }, about),
    ),
  );
  details.addEventListener('toggle', () => details.append(...content()), { once: true });
  return details;
}

function leaf(name: string, type: string, value: string): HTMLElement {
  return make(
    'div',
    { class: 'field' },
    make('span', { class: 'name' }, name),
    make('span', { class: 'about' }, type),
    make('span', { class: 'value' }, value),
  );
}

function contentNodes({ fields, subsections }: DeviceContent): Node[] {
  const nodes: Node[] = fields.map(fieldNode);
  for (const subsection of subsections)
    nodes.push(
      branch(
        subsection.layout ?? 'subsection',
        `subsection, version ${subsection.version ?? 0}`,
        () => contentNodes(subsection),
      ),
    );
  return nodes.length === 0 ? [make('p', { class: 'hint' }, 'no fields')] : nodes;
}

function fieldNode(field: DeviceField): Node {
  const name = field.index === undefined ? field.name : `${field.name}[${field.index}]`;
  switch (field.kind) {
    case 'struct':
      return branch(name, `${field.type}, ${bytes(field.size)}`, () => contentNodes(field.struct));
    case 'array':
      return branch(name, `${count(field.elements.length)} of ${field.type}`, () =>
        elementNodes(field.elements, 0),
      );
    case 'pointer':
      return field.target === undefined
        ? leaf(name, field.type, 'nothing')
        : branch(name, `${field.type}, ${bytes(field.size)}`, () => [fieldNode(field.target!)]);
    case 'bool':
      return leaf(name, field.type, String(field.value));
    case 'integer':
      return leaf(
        name,
        field.type,
        field.value >= 0 && field.value < 10
          ? String(field.value)
          : `${field.value} (${hex(BigInt.asUintN(field.size * 8, BigInt(field.value)))})`,
      );
    case 'bytes':
      return leaf(
        name,
        `${field.type}${field.note === undefined ? '' : ` (${field.note})`}`,
        bytesText(field.bytes),
      );
  }
}

function elementNodes(elements: readonly DeviceField[], from: number): Node[] {
  const nodes = elements.slice(from, from + SHOWN_ELEMENTS).map(fieldNode);
  const next = from + SHOWN_ELEMENTS;
  if (next < elements.length)
    nodes.push(
      branch(`[${next}] and on`, `${count(elements.length - next)} more`, () =>
        elementNodes(elements, next),
      ),
    );
  return nodes;
}

function bytesText(content: Uint8Array): string {
  if (content.length === 0) return 'empty';
  if (content.every((byte) => byte === 0)) return `${bytes(content.length)}, all zero`;
  const end = content.findLastIndex((byte) => byte !== 0) + 1;
  const text = content.subarray(0, end);
  if (text.every((byte) => byte >= 0x20 && byte < 0x7f))
    return JSON.stringify(String.fromCharCode(...text.subarray(0, SHOWN_BYTES)));
  const shown = Array.from(content.subarray(0, SHOWN_BYTES), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join(' ');
  return content.length > SHOWN_BYTES ? `${shown} … ${bytes(content.length)}` : shown;
}
