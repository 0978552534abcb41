import type { RamRange } from './pc-memory.ts';

const ELF_HEADER_LENGTH = 64;
const PROGRAM_HEADER_LENGTH = 56;
const ET_CORE = 4;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
/**
 * Everyone who reads memory by address wants pages whole; a multiple of x86's page size keeps file
 * and memory in step.
 */
const ALIGNMENT = 0x1000;

/**
 * What precedes the RAM in a core file, whose ranges then follow without a gap, as they lie in
 * their block. All little-endian:
 *
 *     0     7f "ELF", 64 bits, little-endian, version 1, 9 zeros
 *           | le16 type, le16 machine, le32 version 1, le64 entry
 *     32    le64 offset of the program headers, le64 of sections: none
 *           | le32 flags, le16 64, le16 56, le16 count, le16 64, 0, 0
 *     64    PT_NOTE, then a PT_LOAD per range: le32 type, le32 flags
 *           | le64 offset in the file, virtual address, physical address, length in the file,
 *           length in memory, alignment
 *     ...   notes | zeros up to a multiple of 4 KiB | RAM
 *
 * Virtual addresses are the physical ones, as without paging; so gdb, which goes by those, finds
 * RAM at its physical address.
 */
export function coreHeader(notes: Uint8Array, ranges: readonly RamRange[]): Uint8Array {
  const notesOffset = ELF_HEADER_LENGTH + PROGRAM_HEADER_LENGTH * (1 + ranges.length);
  const ramOffset = Math.ceil((notesOffset + notes.length) / ALIGNMENT) * ALIGNMENT;
  const bytes = new Uint8Array(ramOffset);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, ET_CORE, true);
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, 1, true);
  view.setUint32(32, ELF_HEADER_LENGTH, true);
  [ELF_HEADER_LENGTH, PROGRAM_HEADER_LENGTH, 1 + ranges.length, 64].forEach((value, index) =>
    view.setUint16(52 + 2 * index, value, true),
  );
  const header = (index: number, type: number, flags: number, numbers: readonly number[]): void => {
    const at = ELF_HEADER_LENGTH + PROGRAM_HEADER_LENGTH * index;
    view.setUint32(at, type, true);
    view.setUint32(at + 4, flags, true);
    numbers.forEach((value, field) => view.setBigUint64(at + 8 + 8 * field, BigInt(value), true));
  };
  header(0, PT_NOTE, 0, [notesOffset, 0, 0, notes.length, notes.length, 4]);
  ranges.forEach(({ physicalAddress, offset, length }, index) => {
    // Readable, writable, executable.
    header(1 + index, PT_LOAD, 7, [
      ramOffset + offset,
      physicalAddress,
      physicalAddress,
      length,
      length,
      ALIGNMENT,
    ]);
  });
  bytes.set(notes, notesOffset);
  return bytes;
}
