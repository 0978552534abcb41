import type { Compression, ZeroPageDetection } from 'multifd';
import { expect } from 'vitest';
import {
  type Architecture,
  type Qemu,
  QEMU_VERSIONS,
  type QemuVersion,
} from '../../support/qemu.ts';

/** What one row of docs/qemu.md does both ways; what it leaves out is as {@link USUAL} says. */
export interface Row {
  name: string;
  how: string;
  architecture: Architecture;
  machine: string;
  /** MiB. */
  memory: number;
  /** MiB up to which the guest is at work. */
  reach: number;
  cpus: number;
  channels: number;
  compression: Compression;
  detection: ZeroPageDetection | 'as it is';
  returnPath: boolean;
  address: 'tcp:127.0.0.1:0' | 'tcp:[::1]:0' | 'unix';
  /** One connection without it. */
  multifd: boolean;
  /** The source may switch to it, or does at its pass `pass`. */
  postcopy: 'off' | 'allowed' | 'used';
  /** Give QEMU the address in QMP's form of a channel list. */
  channelList: boolean;
  capabilities: readonly string[];
  /** Further parameters of the migration at QEMU. */
  parameters: object;
  args: readonly string[];
  /** QMP commands to the source, before it migrates. */
  commands: ReadonlyArray<readonly [string, object]>;
  /** Besides the RAM, a VM that has come has this. */
  expectArrived: (qemu: Qemu) => Promise<void>;
  /** The pass at which the migration may come to its end. */
  pass: number;
  marks: readonly number[];
  anonymous: boolean;
  versions: readonly QemuVersion[];
}

/** A row that is captured from one version, and loaded by and replayed to another. */
export interface Across {
  row: Row;
  from: QemuVersion;
  to: QemuVersion;
}

const USUAL: Omit<Row, 'name'> = {
  how: '',
  architecture: 'x86_64',
  machine: 'pc',
  memory: 32,
  reach: 24,
  cpus: 1,
  channels: 2,
  compression: 'none',
  detection: 'as it is',
  returnPath: true,
  address: 'tcp:127.0.0.1:0',
  multifd: true,
  postcopy: 'off',
  channelList: false,
  capabilities: [],
  parameters: {},
  args: [],
  commands: [],
  expectArrived: () => Promise.resolve(),
  pass: 3,
  marks: [],
  anonymous: false,
  versions: QEMU_VERSIONS,
};

const row = (name: string, special: Partial<Row>): Row => ({ ...USUAL, name, ...special });

const GIB = 2 ** 30;

export const ROWS: readonly Row[] = [
  row('plain, URI', { how: '`migrate` with `uri`; 100 MiB at work', memory: 128, reach: 100 }),
  row('plain, channel list', {
    how: '`migrate` with `channels`, `migrate-incoming` likewise',
    channelList: true,
  }),
  row('zlib', { compression: 'zlib' }),
  row('zstd', { compression: 'zstd' }),
  ...(['multifd', 'none', 'legacy'] as const).map((detection) =>
    row(`zero-page-detection ${detection}`, { detection }),
  ),
  ...[1, 4, 16].map((channels) =>
    row(`${channels} channel${channels === 1 ? '' : 's'}`, { channels }),
  ),
  row('IPv6', { address: 'tcp:[::1]:0' }),
  row('Unix socket', { address: 'unix' }),
  row('machine type q35', { machine: 'q35' }),
  row('sync per section', {
    how: 'machine type pc-i440fx-7.2',
    machine: 'pc-i440fx-7.2',
    channels: 4,
  }),
  row('sync per section, zlib', {
    how: 'machine type pc-i440fx-7.2',
    machine: 'pc-i440fx-7.2',
    compression: 'zlib',
  }),
  row('no return path', { returnPath: false }),
  row('switchover-ack', { capabilities: ['switchover-ack'] }),
  row('switchover-ack, old machine type', {
    how: 'machine type pc-i440fx-7.2',
    machine: 'pc-i440fx-7.2',
    capabilities: ['switchover-ack'],
  }),
  row('max-bandwidth', {
    how: 'QEMU held to 256 MiB/s to pass 2; this project to the same',
    parameters: { 'max-bandwidth': 256 * 2 ** 20 },
    pass: 2,
  }),
  row('two CPUs', { how: 'both dirty each page', cpus: 2 }),
  row('5 GiB of RAM', {
    how: 'with content above 4 GiB',
    memory: 5 * 1024,
    anonymous: true,
    marks: [3 * GIB + 12_288, 4 * GIB, 5 * GIB - 4096],
    pass: 2,
  }),
  row('without multifd', { multifd: false }),
  row('without multifd, sync per section', {
    how: 'machine type pc-i440fx-7.2',
    machine: 'pc-i440fx-7.2',
    multifd: false,
  }),
  ...[true, false].flatMap((multifd) => {
    const without = multifd ? '' : ', without multifd';
    // 7.2 takes the two capabilities together, but does not load what it is sent then.
    const versions: readonly QemuVersion[] = multifd ? ['11.1', '10.0'] : QEMU_VERSIONS;
    const how = 'switched to in pass 2; the guest runs at the target from the start';
    return [
      row(`postcopy allowed${without}`, {
        how: '`postcopy-ram` on at QEMU, and never switched to',
        postcopy: 'allowed',
        multifd,
      }),
      row(`postcopy${without}`, {
        how,
        postcopy: 'used',
        multifd,
        pass: 2,
        anonymous: true, // userfaultfd has no files of a disk
        versions,
      }),
      row(`postcopy-preempt${without}`, {
        how,
        postcopy: 'used',
        capabilities: ['postcopy-preempt'],
        multifd,
        pass: 2,
        anonymous: true,
        versions,
      }),
    ];
  }),
  ...[true, false].map((early) =>
    row(`virtio-mem, ${early ? 'a section before the RAM' : 'sections behind the RAM'}`, {
      how: `\`virtio-mem-pci\`${early ? '' : ' with `x-early-migration=off`'}`,
      machine: 'q35',
      args: [
        ...['-m', '32,slots=1,maxmem=1G', '-object', 'memory-backend-ram,id=more,size=128M'],
        ...['-device', `virtio-mem-pci,memdev=more${early ? '' : ',x-early-migration=off'}`],
      ],
      versions: ['11.1', '10.0'],
    }),
  ),
  row('dirty bitmaps', {
    how: '`dirty-bitmaps` on, with a bitmap',
    capabilities: ['dirty-bitmaps'],
    args: ['-blockdev', 'null-co,node-name=disk,size=16777216'],
    commands: [['block-dirty-bitmap-add', { node: 'disk', name: 'changed' }]],
    expectArrived: async (qemu) => {
      const nodes = (await qemu.command('query-named-block-nodes')) as object[];
      expect(nodes).toContainEqual(
        expect.objectContaining({
          'node-name': 'disk',
          'dirty-bitmaps': [expect.objectContaining({ name: 'changed', recording: true })],
        }),
      );
    },
  }),
  row('aarch64', { how: 'machine type virt', architecture: 'aarch64', machine: 'virt' }),
  row('riscv64', { how: 'machine type virt', architecture: 'riscv64', machine: 'virt' }),
];

/** With a machine type that both know. */
export const ACROSS: readonly Across[] = (
  [
    ['7.2', '10.0', 'pc-i440fx-7.2'],
    ['7.2', '11.1', 'pc-i440fx-7.2'],
    ['10.0', '11.1', 'pc-i440fx-10.0'],
    ['11.1', '10.0', 'pc-i440fx-10.0'],
    ['11.1', '7.2', 'pc-i440fx-7.2'],
  ] as const
).map(([from, to, machine]) => ({
  row: row(`from ${from} to ${to}`, { how: `machine type ${machine}`, machine }),
  from,
  to,
}));
