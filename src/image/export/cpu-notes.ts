import { concat } from '../../util/bytes.ts';
import type { DeviceContent, DeviceField, DeviceReport } from '../../stream/index.ts';

/** A segment register, or a table's; `flags` are QEMU's. */
interface Segment {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly flags: number;
}

/** What debuggers want to know of one x86 CPU. */
export interface CpuState {
  /** In the order of instructions' encoding: rax rcx rdx rbx rsp rbp rsi rdi, then r8 to r15. */
  readonly registers: readonly bigint[];
  readonly rip: bigint;
  readonly rflags: bigint;
  /** es cs ss ds fs gs. */
  readonly segments: readonly Segment[];
  readonly ldt: Segment;
  readonly tr: Segment;
  readonly gdt: Segment;
  readonly idt: Segment;
  /** cr0, cr2, cr3, cr4. */
  readonly control: readonly bigint[];
  readonly kernelGsBase: bigint;
}

const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7];
const [ES, CS, SS, DS, FS, GS] = [0, 1, 2, 3, 4, 5];

const NT_PRSTATUS = 1;
const PRSTATUS_LENGTH = 336;
const QEMU_STATE_LENGTH = 440;

/** Thrown and caught in this file. */
class Missing extends Error {}

/**
 * The CPUs, in the order of their instances; undefined if one is not described as an x86 CPU of 64
 * bits.
 */
export function cpuStates(devices: readonly DeviceReport[]): CpuState[] | undefined {
  const cpus = devices
    .filter(({ idstr }) => idstr === 'cpu')
    .sort((one, other) => one.instanceId - other.instanceId);
  try {
    return cpus.map(cpuState);
  } catch (error) {
    if (error instanceof Missing) return undefined;
    throw error;
  }
}

/**
 * The notes of a core file: for each CPU a PRSTATUS, as debuggers want it of a thread, and after
 * those for each CPU a note of QEMU's with what a thread does not have. All little-endian:
 *
 *     note        le32 name length with its NUL, le32 data length, le32 type
 *                 | name | data; each padded to 4 bytes
 *     "CORE", 1   0: 32 bytes | 32: le32 thread, from 1 on
 *                 | 112: le64 r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax
 *                        rip cs eflags rsp ss fs_base gs_base ds es fs gs
 *                 | 328: 8 bytes
 *     "QEMU", 0   le32 version 1, le32 length
 *                 | le64 rax rbx rcx rdx rsi rdi rsp rbp r8 to r15 rip rflags
 *                 | cs ds es fs gs ss ldt tr gdt idt, each le32 selector, limit, flags, 0,
 *                   le64 base
 *                 | le64 cr0 0 cr2 cr3 cr4 | le64 kernel gs base
 */
export function cpuNotes(cpus: readonly CpuState[]): Uint8Array {
  return concat([
    ...cpus.map((cpu, index) => note('CORE', NT_PRSTATUS, threadStatus(cpu, index + 1))),
    ...cpus.map((cpu) => note('QEMU', 0, qemuState(cpu))),
  ]);
}

function note(name: string, type: number, data: Uint8Array): Uint8Array {
  // Both names have four letters, and a NUL; both kinds of data are multiples of four bytes.
  const view = new DataView(new ArrayBuffer(12 + 8 + data.length));
  view.setUint32(0, name.length + 1, true);
  view.setUint32(4, data.length, true);
  view.setUint32(8, type, true);
  const bytes = new Uint8Array(view.buffer);
  bytes.set(new TextEncoder().encode(name), 12);
  bytes.set(data, 20);
  return bytes;
}

function threadStatus(
  { registers: r, rip, rflags, segments }: CpuState,
  thread: number,
): Uint8Array {
  const view = new DataView(new ArrayBuffer(PRSTATUS_LENGTH));
  view.setUint32(32, thread, true);
  const general = [15, 14, 13, 12, RBP, RBX, 11, 10, 9, 8, RAX, RCX, RDX, RSI, RDI].map(
    (register) => r[register!]!,
  );
  const selector = (index: number | undefined): bigint => BigInt(segments[index!]!.selector);
  const bases = [segments[FS!]!.base, segments[GS!]!.base];
  const all = [
    ...general,
    0n,
    rip,
    selector(CS),
    rflags,
    r[RSP!]!,
    selector(SS),
    ...bases,
    selector(DS),
    selector(ES),
    selector(FS),
    selector(GS),
  ];
  all.forEach((value, index) => view.setBigUint64(112 + 8 * index, value, true));
  return new Uint8Array(view.buffer);
}

function qemuState({
  registers: r,
  rip,
  rflags,
  segments,
  ldt,
  tr,
  gdt,
  idt,
  control,
  kernelGsBase,
}: CpuState): Uint8Array {
  const view = new DataView(new ArrayBuffer(QEMU_STATE_LENGTH));
  let at = 0;
  const u32 = (value: number): void => view.setUint32((at += 4) - 4, value, true);
  const u64 = (value: bigint): void => view.setBigUint64((at += 8) - 8, value, true);
  u32(1);
  u32(QEMU_STATE_LENGTH);
  for (const register of [RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, 8, 9, 10, 11, 12, 13, 14, 15])
    u64(r[register!]!);
  u64(rip);
  u64(rflags);
  for (const { selector, limit, flags, base } of [
    ...[CS, DS, ES, FS, GS, SS].map((index) => segments[index!]!),
    ldt,
    tr,
    gdt,
    idt,
  ]) {
    for (const value of [selector, limit, flags, 0]) u32(value);
    u64(base);
  }
  const [cr0, cr2, cr3, cr4] = control;
  for (const value of [cr0!, 0n, cr2!, cr3!, cr4!]) u64(value);
  u64(kernelGsBase);
  return new Uint8Array(view.buffer);
}

function cpuState(device: DeviceReport): CpuState {
  const wide = (name: string): bigint => integer(find(device, name), 8) as bigint;
  return {
    registers: elements(find(device, 'env.regs'), 16).map((field) => integer(field, 8) as bigint),
    rip: wide('env.eip'),
    rflags: wide('env.eflags'),
    segments: elements(find(device, 'env.segs'), 6).map(segment),
    ldt: segment(find(device, 'env.ldt')),
    tr: segment(find(device, 'env.tr')),
    gdt: segment(find(device, 'env.gdt')),
    idt: segment(find(device, 'env.idt')),
    control: ['env.cr[0]', 'env.cr[2]', 'env.cr[3]', 'env.cr[4]'].map(wide),
    kernelGsBase: wide('env.kernelgsbase'),
  };
}

function segment(field: DeviceField): Segment {
  if (field.kind !== 'struct') throw new Missing();
  const { struct } = field;
  const narrow = (name: string): number => integer(find(struct, name), 4) as number;
  return {
    selector: narrow('selector'),
    base: integer(find(struct, 'base'), 8) as bigint,
    limit: narrow('limit'),
    flags: narrow('flags'),
  };
}

function find({ fields }: DeviceContent, wanted: string): DeviceField {
  const found = fields.find(({ name }) => name === wanted);
  if (found === undefined) throw new Missing();
  return found;
}

function elements(field: DeviceField, count: number): readonly DeviceField[] {
  if (field.kind !== 'array' || field.elements.length !== count) throw new Missing();
  return field.elements;
}

/** Of 8 bytes it is a bigint, of fewer a number. */
function integer(field: DeviceField, size: number): number | bigint {
  if (field.kind !== 'integer' || field.size !== size || field.value < 0) throw new Missing();
  return field.value;
}
