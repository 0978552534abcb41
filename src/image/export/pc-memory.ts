import { MultifdError } from '../../util/errors.ts';
import type { DeviceReport } from '../../stream/index.ts';
import type { ImageBlock } from '../formats.ts';

/** A run of RAM in the guest's physical address space; bytes. */
export interface RamRange {
  readonly physicalAddress: number;
  /** Where in the RAM's block it begins. */
  readonly offset: number;
  readonly length: number;
}

export interface PcMemory {
  readonly block: ImageBlock;
  /** By address; together they are the block. */
  readonly ranges: readonly RamRange[];
}

const PC = /^(pc|q35|isapc|microvm)$|^pc-/;
const RAM_IDS: ReadonlySet<string> = new Set(['pc.ram', 'microvm.ram']);
/**
 * Names of blocks that are known to be no RAM, as `info ramblock` of QEMU 10.0 and 7.2 prints them.
 * A block that is called by its memory backend may be RAM, also behind a device's name:
 * virtio-mem's is `0000:00:03.0/mem0`. So what is not listed here may be RAM.
 *
 * These are firmware and ACPI tables, memory of cards on the ISA bus and of a TPM, and the one of
 * vmware-svga's that has no device's name.
 */
const NO_RAM: ReadonlySet<string> = new Set([
  'pc.bios',
  'pc.rom',
  'isa-bios',
  'system.flash0',
  'system.flash1',
  'vga.vram',
  'vmsvga.fifo',
  'tpm-ppi',
  'tpm-crb-cmd',
]);
/** `/rom@etc/acpi/tables`. */
const FIRMWARE_FILE = '/rom@';
/** The same of blocks behind a device's name: ROM, video memory, acpi-erst's exchange. */
const NO_RAM_OF_DEVICE =
  /^([^/]+\.rom|vga\.vram|qxl\.(vram|vgavram|vrom)|bochs-display-vram|erst\.exchange)$/;
/** A device whose memory other VMs share; its block is called by the memory backend. */
const SHARES_MEMORY = /^ivshmem-(plain|doorbell)$/;
/** A device whose memory is RAM under any block name. */
const HAS_RAM = /^virtio-mem(-early)?$/;
const MIB = 0x100000;
const FOUR_GIB = 0x1_0000_0000;
const CMOS_UNIT = 0x10000;
/** CMOS counts low RAM from here on. */
const CMOS_LOW_BASE = 16 * MIB;
/**
 * With an AMD CPU, QEMU moves the high RAM to 1 TiB once the address space that is in use reaches
 * 12 GiB below that, PCI windows (32 GiB on a q35) counted. The image does not say whether it did,
 * so RAM has to end before.
 */
const HIGH_END = 0xfd_0000_0000 - 32 * 1024 * MIB;

/**
 * Where the RAM of an x86 PC is. The machine itself keeps it in its CMOS, for the firmware, so
 * options that change it, such as max-ram-below-4g, and rules that differ between machine types
 * need not be known:
 *
 *     34 35       le16, RAM from 16 MiB up to the hole below 4 GiB, in units of 64 KiB
 *     5b 5c 5d    le24, RAM from 4 GiB on, in units of 64 KiB
 *
 * @param devices undefined if the image's device sections cannot be told apart.
 * @throws MultifdError ERR_UNSUPPORTED if it is no x86 PC, or its memory cannot be told with
 *   certainty.
 */
export function pcMemory(
  machine: string,
  blocks: readonly ImageBlock[],
  devices: readonly DeviceReport[] | undefined,
): PcMemory {
  if (!PC.test(machine)) throw untold(`the machine type is ${machine}, which is no x86 PC`);
  const cmos = cmosOf(devices ?? []);
  if (cmos === undefined)
    throw untold("the image has no description of a PC's clock chip, whose CMOS says where RAM is");
  const low = CMOS_LOW_BASE + CMOS_UNIT * (cmos[0x34]! + cmos[0x35]! * 0x100);
  const high = CMOS_UNIT * (cmos[0x5b]! + cmos[0x5c]! * 0x100 + cmos[0x5d]! * 0x10000);
  const block = ramBlock(blocks, devices ?? [], (length) => fits(length, low, high));
  if (FOUR_GIB + high > HIGH_END)
    throw untold('there is so much RAM that its place above 4 GiB depends on the CPU');
  const lowLength = high === 0 ? block.usedLength : low;
  const ranges: RamRange[] = [{ physicalAddress: 0, offset: 0, length: lowLength }];
  if (high > 0)
    ranges.push({ physicalAddress: FOUR_GIB, offset: low, length: block.usedLength - low });
  return { block, ranges };
}

/**
 * Whether `length` bytes of RAM give these counts; RAM need not be a multiple of their units, and
 * all below 16 MiB counts as none.
 */
function fits(length: number, low: number, high: number): boolean {
  if (low > FOUR_GIB) return false;
  if (high > 0) return length >= low + high && length < low + high + CMOS_UNIT;
  return low === CMOS_LOW_BASE
    ? length < CMOS_LOW_BASE + CMOS_UNIT
    : length >= low && length < low + CMOS_UNIT;
}

function cmosOf(devices: readonly DeviceReport[]): Uint8Array | undefined {
  const fields = devices.find(({ idstr }) => idstr === 'mc146818rtc')?.fields ?? [];
  const field = fields.find(({ name }) => name === 'cmos_data');
  return field?.kind === 'bytes' && field.size >= 0x60 ? field.bytes : undefined;
}

/**
 * Whether a block can be RAM. A device's blocks have its name and a slash before their own, and its
 * section has the same: `0000:00:03.0/virtio-mem`. Without a device, a block has its own name only;
 * that of a memory backend is `/objects/ID` on old machines.
 */
function mayBeRam(id: string, devices: readonly DeviceReport[]): boolean {
  const slash = id.lastIndexOf('/');
  if (slash < 0 || id.startsWith('/')) return !NO_RAM.has(id) && !id.startsWith(FIRMWARE_FILE);
  const device = id.slice(0, slash + 1);
  const sections = devices.filter(({ idstr }) => idstr.startsWith(device));
  const kinds = sections.map(({ idstr }) => idstr.slice(device.length));
  if (kinds.some((kind) => HAS_RAM.test(kind))) return true;
  if (kinds.some((kind) => SHARES_MEMORY.test(kind))) return false;
  return !NO_RAM_OF_DEVICE.test(id.slice(slash + 1));
}

function ramBlock(
  blocks: readonly ImageBlock[],
  devices: readonly DeviceReport[],
  fitting: (length: number) => boolean,
): ImageBlock {
  const candidates = blocks.filter(({ id }) => mayBeRam(id, devices));
  const [block] = candidates;
  const ids = candidates.map(({ id }) => id).join(', ');
  if (block === undefined) throw untold('it has no block that could be its RAM');
  if (candidates.length > 1)
    throw untold(`${ids} may all be RAM, and the image does not say where each is`);
  if (fitting(block.usedLength)) return block;
  const what = RAM_IDS.has(block.id) ? 'its RAM' : `${block.id}, which should be its RAM,`;
  throw untold(
    `${what} has ${block.usedLength} bytes, but its CMOS, which a guest can change, says ` +
      'otherwise',
  );
}

function untold(why: string): MultifdError {
  return new MultifdError(
    'ERR_UNSUPPORTED',
    `where the image's RAM has to be in the core file cannot be told: ${why}; extract its ` +
      'blocks one by one instead',
  );
}
