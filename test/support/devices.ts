import type { DeviceContent, DeviceField, DeviceReport } from '../../src/stream/index.ts';

/**
 * Follows a device's fields; gives where they end. Throws unless each begins where the one before
 * it ends.
 */
export function coverage(device: DeviceReport): number {
  return contentEnd(device, 0);
}

/**
 * All fields that are no structs and no arrays, by their path: `env.segs[1].base`. Those of
 * subsections as well.
 */
export function leaves(
  content: DeviceContent,
  prefix = '',
): Map<string, Extract<DeviceField, { kind: 'integer' | 'bool' | 'bytes' }>> {
  const found = new Map<string, Extract<DeviceField, { kind: 'integer' | 'bool' | 'bytes' }>>();
  const visit = (field: DeviceField, path: string): void => {
    if (field.kind === 'struct')
      for (const [name, leaf] of leaves(field.struct, `${path}.`)) found.set(name, leaf);
    else if (field.kind === 'array')
      field.elements.forEach((element, index) => visit(element, `${path}[${index}]`));
    else if (field.kind !== 'pointer') found.set(path, field);
    else if (field.target !== undefined) visit(field.target, path);
  };
  for (const field of content.fields) visit(field, prefix + field.name);
  for (const subsection of content.subsections)
    for (const [name, leaf] of leaves(subsection, prefix)) found.set(name, leaf);
  return found;
}

function contentEnd({ fields, subsections }: DeviceContent, start: number): number {
  let end = start;
  for (const field of fields) end = fieldEnd(field, end);
  for (const subsection of subsections) {
    if (subsection.offset !== end)
      throw new Error(`subsection ${subsection.layout} at ${subsection.offset}, not ${end}`);
    end = contentEnd(subsection, end + 6 + Buffer.byteLength(subsection.layout ?? ''));
  }
  return end;
}

function fieldEnd(field: DeviceField, start: number): number {
  let end = start + field.size;
  if (field.offset !== start)
    throw new Error(`field ${field.name} at ${field.offset}, not ${start}`);
  if (field.kind === 'struct') end = contentEnd(field.struct, start);
  else if (field.kind === 'array')
    end = field.elements.reduce((at, element) => fieldEnd(element, at), start);
  else if (field.kind === 'pointer')
    end = field.target === undefined ? start + 1 : fieldEnd(field.target, start + 1);
  else if (field.kind === 'bytes' && field.bytes.length !== field.size)
    throw new Error(`field ${field.name} has ${field.bytes.length} bytes`);
  if (end !== start + field.size)
    throw new Error(`field ${field.name} ends at ${end}, not ${start + field.size}`);
  return end;
}
