/** A reader of 64-bit little-endian ELF core files, as far as tests need it. */

interface Header {
  type: number;
  offset: number;
  physicalAddress: number;
  fileLength: number;
  memoryLength: number;
}

export interface Note {
  name: string;
  type: number;
  data: Buffer;
}

export interface Load {
  physicalAddress: number;
  content: Buffer;
}

export const EM_X86_64 = 62;
/** What QEMU's own 64-bit core files have when the first CPU is not in 64-bit mode. */
export const EM_386 = 3;

/** The PT_LOAD segments, in order. */
export function loads(file: Buffer, machine = EM_X86_64): Load[] {
  return loadPlaces(file, machine).map(({ physicalAddress, offset, length }) => ({
    physicalAddress,
    content: file.subarray(offset, offset + length),
  }));
}

/** Where the PT_LOAD segments are; `head` is the file's first page or more. Bytes. */
export function loadPlaces(
  head: Buffer,
  machine = EM_X86_64,
): Array<{ physicalAddress: number; offset: number; length: number }> {
  return headers(head, machine)
    .filter(({ type }) => type === 1)
    .map(({ physicalAddress, offset, fileLength, memoryLength }) => {
      if (fileLength !== memoryLength)
        throw new Error(`a segment of ${memoryLength} bytes has ${fileLength} in the file`);
      return { physicalAddress, offset, length: fileLength };
    });
}

/** All notes, in order. */
export function notes(head: Buffer): Note[] {
  const found: Note[] = [];
  for (const { type, offset, fileLength } of headers(head, EM_X86_64)) {
    if (type !== 4) continue;
    for (let at = offset; at < offset + fileLength; ) {
      const [nameLength, length, noteType] = [
        head.readUInt32LE(at),
        head.readUInt32LE(at + 4),
        head.readUInt32LE(at + 8),
      ];
      const data = at + 12 + Math.ceil(nameLength / 4) * 4;
      found.push({
        name: head.toString('latin1', at + 12, at + 11 + nameLength),
        type: noteType,
        data: head.subarray(data, data + length),
      });
      at = data + Math.ceil(length / 4) * 4;
    }
  }
  return found;
}

function headers(file: Buffer, machine: number): Header[] {
  if (file.toString('hex', 0, 7) !== '7f454c46020101')
    throw new Error('no 64-bit little-endian ELF file');
  const [type, found] = [file.readUInt16LE(16), file.readUInt16LE(18)];
  if (type !== 4 || found !== machine) throw new Error(`no core file of the machine ${machine}`);
  const start = Number(file.readBigUInt64LE(32));
  return Array.from({ length: file.readUInt16LE(56) }, (_, index) => {
    const at = start + index * file.readUInt16LE(54);
    const number = (offset: number): number => Number(file.readBigUInt64LE(at + offset));
    return {
      type: file.readUInt32LE(at),
      offset: number(8),
      physicalAddress: number(24),
      fileLength: number(32),
      memoryLength: number(40),
    };
  });
}
