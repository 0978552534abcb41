/**
 * Files that hold a VM's memory, or could be taken for one, by how they begin: what is no
 * mapped-ram image is called by its name. A kind is one row.
 */
export interface ForeignKind {
  /** With its article, for messages. */
  readonly name: string;
  /** What to do, the end of a sentence; none if there is nothing better than another file. */
  readonly advice?: string;
  /**
   * It has a guest's memory in a form of its own. To send it as if its bytes were the memory is
   * most likely a mistake.
   */
  readonly holdsGuest?: true;
}

/** As many bytes of a file as are looked at. */
export const FOREIGN_BYTES = 18;

const CORE = 4;

/** ELF's e_type, by the byte order that the file says it has. */
function isElfCore(bytes: Uint8Array): boolean {
  const [low, high] = bytes[5] === 2 ? [bytes[17], bytes[16]] : [bytes[16], bytes[17]];
  return low === CORE && high === 0;
}

const DECOMPRESS = 'decompress it first';

const KINDS: ReadonlyArray<
  ForeignKind & { readonly magic: string; readonly also?: (bytes: Uint8Array) => boolean }
> = [
  { magic: '\x7fELF', also: isElfCore, name: 'an ELF core dump' },
  { magic: '\x7fELF', name: 'an ELF program or library' },
  { magic: 'KDUMP   ', name: 'a kdump-compressed dump' },
  { magic: 'makedumpfile', name: 'a kdump-compressed dump in the flattened form' },
  { magic: 'QFI\xfb', name: 'a qcow2 disk image' },
  {
    magic: 'LibvirtQemudSave',
    name: 'a libvirt save file',
    advice: 'its stream begins behind its header',
    holdsGuest: true,
  },
  { magic: 'LibvirtQemudPart', name: 'an incomplete libvirt save file', holdsGuest: true },
  { magic: '\x1f\x8b', name: 'a gzip file', advice: DECOMPRESS },
  { magic: '\x28\xb5\x2f\xfd', name: 'a zstd file', advice: DECOMPRESS },
  { magic: '\xfd7zXZ\0', name: 'an xz file', advice: DECOMPRESS },
];

/** @param bytes the file's beginning. @returns undefined for what is no kind that is known. */
export function foreignKind(bytes: Uint8Array): ForeignKind | undefined {
  const text = String.fromCharCode(...bytes.subarray(0, FOREIGN_BYTES));
  return KINDS.find(({ magic, also }) => text.startsWith(magic) && (also?.(bytes) ?? true));
}

/** The first bytes of a file, for a message about a kind that is not known. */
export function firstBytes(bytes: Uint8Array): string {
  return [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
