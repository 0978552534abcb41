import type { SectionBytes } from './section-bytes.ts';
import type { OtherSection } from './section.ts';

/**
 * Sections whose content can be followed to its end. Each is a row; those of no row are delimited
 * by their footers.
 */
interface Layout {
  recognises(section: OtherSection): boolean;
  /** Hands on the content, up to the footer. */
  walk(bytes: SectionBytes, section: OtherSection): Promise<void>;
}

/** @returns undefined for a section that no row is for. */
export function layoutOf(section: OtherSection): Layout | undefined {
  return LAYOUTS.find((layout) => layout.recognises(section));
}

const HASH_ENTRY = 16;

/**
 * The hash page table of a pseries guest (QEMU's hw/ppc/spapr.c; seen from 7.2, 10.0 and 11.1).
 *
 *     START      be32 log2 of the table's bytes, or ffffffff: there is none
 *     PART, END  be32 0, then chunks; or ffffffff, and nothing more
 *     a chunk    be32 index | be16 valid | be16 invalid | 16 bytes for each valid one
 *     the last   be32 0 | be16 0 | be16 0
 */
async function hashTable(bytes: SectionBytes): Promise<void> {
  const head = await bytes.fields(4);
  if (head.getUint32(0) !== 0) return; // START's, or no table
  for (;;) {
    const chunk = await bytes.fields(8);
    const [index, valid, invalid] = [chunk.getUint32(0), chunk.getUint16(4), chunk.getUint16(6)];
    if (index === 0 && valid === 0 && invalid === 0) return;
    await bytes.pass(valid * HASH_ENTRY);
  }
}

const Attributes = { EOS: 0x1, MORE: 0x2, ERROR: 0x4, DONE: 0x8 } as const;

/**
 * The storage attributes of an s390x guest (QEMU's hw/s390x/s390-stattrib.c; seen from 7.2, 10.0
 * and 11.1). Words of be64, the low 12 bits flags:
 *
 *     EOS | DONE     the end of the section; in the last one DONE comes first, then EOS
 *     MORE           be64 count, then so many bytes; the rest of the word is the address
 */
async function storageAttributes(bytes: SectionBytes): Promise<void> {
  for (;;) {
    const flags = (await bytes.fields(8)).getUint32(4) & 0xfff;
    if (flags === Attributes.EOS) return;
    if (flags === Attributes.DONE) continue;
    if (flags !== Attributes.MORE) throw bytes.malformed(`a word with the flags ${flags}`);
    await bytes.pass(bytes.count(await bytes.fields(8), 0));
  }
}

const Bitmap = {
  EOS: 0x01,
  ZEROES: 0x02,
  BITMAP_NAME: 0x04,
  DEVICE_NAME: 0x08,
  START: 0x10,
  COMPLETE: 0x20,
  BITS: 0x40,
  EXTRA: 0x80,
} as const;

/**
 * Dirty bitmaps of disks (QEMU's migration/block-dirty-bitmap.c; seen from 10.0 and 11.1). Each
 * piece begins with flags: one byte, or with EXTRA two or four.
 *
 *     flags | DEVICE_NAME: u8 length, name | BITMAP_NAME: u8 length, name
 *     START: be32 granularity, u8 flags
 *     BITS:  be64 first sector, be32 sectors; unless ZEROES: be64 length, bytes
 *     EOS:   the end of the section
 */
async function dirtyBitmaps(bytes: SectionBytes): Promise<void> {
  for (;;) {
    const flags = await bitmapFlags(bytes);
    if (flags & Bitmap.EOS) return;
    if (flags & Bitmap.DEVICE_NAME) await bytes.pass(await bytes.u8());
    if (flags & Bitmap.BITMAP_NAME) await bytes.pass(await bytes.u8());
    if (flags & Bitmap.START) await bytes.pass(5);
    else if (flags & Bitmap.BITS) {
      await bytes.pass(12);
      if ((flags & Bitmap.ZEROES) === 0) await bytes.pass(bytes.count(await bytes.fields(8), 0));
    } else if ((flags & Bitmap.COMPLETE) === 0) throw bytes.malformed(`the flags ${flags}`);
  }
}

/** The low bits of the flags, whatever their length. */
async function bitmapFlags(bytes: SectionBytes): Promise<number> {
  const one = await bytes.u8();
  if ((one & Bitmap.EXTRA) === 0) return one;
  const two = await bytes.u8();
  if ((two & Bitmap.EXTRA) === 0) return two;
  return (await bytes.fields(2)).getUint8(1);
}

const Disk = { DEVICE_BLOCK: 0x1, EOS: 0x2, PROGRESS: 0x4, ZERO_BLOCK: 0x8 } as const;
const DISK_BLOCK = 1 << 20;

/**
 * Disks that are migrated along, as QEMU before 9.1 can (its migration/block.c). Words of be64, the
 * low 9 bits flags: a DEVICE_BLOCK is followed by u8 length, name, and 1 MiB unless it is zero.
 */
async function disks(bytes: SectionBytes): Promise<void> {
  for (;;) {
    const flags = (await bytes.fields(8)).getUint32(4) & 0x1ff;
    if (flags & Disk.EOS) return;
    if (flags & Disk.DEVICE_BLOCK) {
      await bytes.pass(await bytes.u8());
      if ((flags & Disk.ZERO_BLOCK) === 0) await bytes.pass(DISK_BLOCK);
    } else if ((flags & Disk.PROGRESS) === 0) throw bytes.malformed(`a word with flags ${flags}`);
  }
}

/** The low byte of a VFIO flag; above it all have ffffffffef1000. */
const Vfio = {
  END_OF_STATE: 1,
  DEV_CONFIG_STATE: 2,
  DEV_SETUP_STATE: 3,
  DEV_DATA_STATE: 4,
  DEV_INIT_DATA_SENT: 5,
} as const;
const VFIO_FLAGS = 0xffff_ffff_ef10_0000n;

/**
 * A device that is passed through (QEMU's hw/vfio/migration.c). Flags of be64 begin each piece:
 *
 *     ffffffffef100003 SETUP_STATE      ffffffffef100005 INIT_DATA_SENT
 *     ffffffffef100004 DATA_STATE       be64 length, bytes
 *     ffffffffef100001 END_OF_STATE     the end of the section
 *
 * CONFIG_STATE, whose content only the device knows, comes in the FULL section behind the RAM.
 */
async function vfio(bytes: SectionBytes): Promise<void> {
  for (;;) {
    const flag = (await bytes.fields(8)).getBigUint64(0);
    switch (Number(flag - VFIO_FLAGS)) {
      case Vfio.END_OF_STATE:
        return;
      case Vfio.DEV_SETUP_STATE:
      case Vfio.DEV_INIT_DATA_SENT:
        break;
      case Vfio.DEV_DATA_STATE:
        await bytes.pass(bytes.count(await bytes.fields(8), 0));
        break;
      default:
        throw bytes.malformed(`the flag 0x${flag.toString(16)}`);
    }
  }
}

/**
 * What virtio-mem has to know before the RAM comes (QEMU's hw/virtio/virtio-mem.c, from 8.0 on; its
 * fields are in the description of 10.0 and 11.1).
 *
 *     be64 address | be64 bytes of the region | be64 bytes of a block | be32 node | be64 size
 *     a bit for each block that is plugged, in words of be64
 */
async function virtioMem(bytes: SectionBytes): Promise<void> {
  const head = await bytes.fields(36);
  const [region, block] = [head.getBigUint64(8), head.getBigUint64(16)];
  if (block === 0n || region % block !== 0n)
    throw bytes.malformed(`blocks of ${block} bytes in a region of ${region}`);
  await bytes.pass(Number((region / block + 63n) / 64n) * 8);
}

const iterable =
  (name: string | RegExp, version: number) =>
  ({ idstr, kind, version: its }: OtherSection): boolean =>
    kind !== 'full' &&
    its === version &&
    (typeof name === 'string' ? idstr === name : name.test(idstr));

const LAYOUTS: readonly Layout[] = [
  { recognises: iterable('spapr/htab', 1), walk: hashTable },
  { recognises: iterable('s390-storage_attributes', 0), walk: storageAttributes },
  { recognises: iterable('dirty-bitmap', 1), walk: dirtyBitmaps },
  { recognises: iterable('block', 1), walk: disks },
  { recognises: iterable(/(^|\/)vfio$/, 1), walk: vfio },
  {
    recognises: ({ idstr, kind, version }) =>
      kind === 'full' && version === 1 && /(^|\/)virtio-mem-device-early$/.test(idstr),
    walk: virtioMem,
  },
];
