/** The whole of a migration, from RAM to RAM over loopback TCP. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { compileNative } from '../lib/compile.ts';
import type { Case, Contender, Part, Setting, Target } from '../lib/part.ts';
import { moveByC } from './by-c.ts';
import { moveByIperf } from './by-iperf.ts';
import { moveByNode } from './by-node.ts';
import { moveByQemu } from './by-qemu.ts';
import { type Content, writeContent } from './content.ts';
import { MIB, type MoveOrder } from './order.ts';

type Compression = MoveOrder['compression'];

interface Shape {
  content: Content;
  channels: number;
  compression: Compression;
}

/** Codecs take long enough with less. */
const BYTES: Record<Compression, number> = { none: 2048 * MIB, zlib: 512 * MIB, zstd: 512 * MIB };
const QUICK_BYTES = 32 * MIB;

const SHAPES: readonly Shape[] = [
  ...(['incompressible', '70 % zero'] as const).flatMap((content) =>
    [1, 2, 4].map((channels) => ({ content, channels, compression: 'none' as const })),
  ),
  ...(['none', 'zlib', 'zstd'] as const).map((compression) => ({
    content: 'text' as const,
    channels: 2,
    compression,
  })),
];

const [QEMU, MAPPED_QEMU, OURS, OURS_NATIVE, STREAM, GZIP, C, IPERF] = [
  'QEMU',
  'QEMU, RAM mapped',
  'multifd',
  'multifd, native zstd',
  'Node, one socket',
  'Node, gzip',
  'C, looking at nothing',
  'iperf3',
] as const;

export const migrationPart: Part = {
  name: 'migration',
  title: 'A whole migration, from RAM to RAM over loopback TCP',
  async prepare(setting) {
    const { tools } = setting;
    const native = compileNative(setting, 'bench/migration/native.c');
    return {
      cases: SHAPES.map((shape) => caseOf(shape, setting, native)),
      targets: TARGETS,
      leftOut: [
        ...tools.missing('qemu-system-x86_64', 'iperf3', 'cc'),
        ...(tools.zstdNode === undefined
          ? ['multifd with native zstd: this Node has none, nor is there another']
          : []),
      ],
    };
  },
};

function nameOf({ content, channels, compression }: Shape): string {
  return (
    `${content}, ${compression === 'none' ? '' : `${compression}, `}${channels} ` +
    `channel${channels > 1 ? 's' : ''}`
  );
}

function caseOf(
  shape: Shape,
  { tools, quick, memoryFolder }: Setting,
  native: string | undefined,
): Case {
  const { content, channels, compression } = shape;
  const bytes = quick ? QUICK_BYTES : BYTES[compression];
  const ramFile = join(memoryFolder, 'source.ram');
  const order = (by: MoveOrder['by']): MoveOrder => ({ by, ramFile, bytes, channels, compression });
  const iperf3 = tools.path('iperf3');
  const { zstdNode } = tools;
  const contenders: Contender[] = [
    ...(tools.path('qemu-system-x86_64') === undefined
      ? []
      : [
          { name: QEMU, measure: () => moveByQemu(order('multifd'), memoryFolder, false) },
          { name: MAPPED_QEMU, measure: () => moveByQemu(order('multifd'), memoryFolder, true) },
        ]),
    { name: OURS, measure: () => moveByNode(order('multifd')) },
    ...(compression === 'zstd' && zstdNode !== undefined
      ? [{ name: OURS_NATIVE, measure: () => moveByNode(order('multifd'), zstdNode) }]
      : []),
    { name: STREAM, measure: () => moveByNode(order('stream')) },
    ...(compression === 'zlib' ? [{ name: GZIP, measure: () => moveByNode(order('gzip')) }] : []),
    ...(content === 'incompressible' && native !== undefined
      ? [{ name: C, measure: () => moveByC(native, bytes, channels) }]
      : []),
    ...(content === 'incompressible' && iperf3 !== undefined
      ? [{ name: IPERF, measure: () => moveByIperf(iperf3, bytes, channels) }]
      : []),
  ];
  return {
    name: nameOf(shape),
    contenders,
    before: async () => writeContent(ramFile, bytes, content),
    after: async () => rmSync(ramFile),
  };
}

const TWO: readonly Shape[] = SHAPES.filter(({ channels }) => channels === 2);

const TARGETS: readonly Target[] = [
  ...TWO.flatMap((shape): Target[] => {
    const least = shape.compression === 'none' ? 2 : 1;
    const name = nameOf(shape);
    // Where both have native codecs.
    const of = shape.compression === 'zstd' ? OURS_NATIVE : OURS;
    return [
      {
        what: `${name}: throughput of QEMU's`,
        headline: `throughput of QEMU's: ${name}`,
        case: name,
        of,
        over: QEMU,
        metric: 'GiB/s',
        least,
      },
      {
        what: `${name}: throughput of QEMU's with its RAM mapped before`,
        case: name,
        of,
        over: MAPPED_QEMU,
        metric: 'GiB/s',
        least,
      },
      {
        what: `${name}: processor seconds per GiB of QEMU's`,
        headline: `processor time, QEMU's of this: ${name}`,
        case: name,
        of,
        over: QEMU,
        metric: 'CPU s/GiB',
        most: 1,
      },
    ];
  }),
  {
    what: "incompressible, 2 channels: throughput of iperf3 -P 2's",
    headline: "throughput of iperf3's: incompressible, 2 channels",
    case: 'incompressible, 2 channels',
    of: OURS,
    over: IPERF,
    metric: 'GiB/s',
    least: 0.8,
  },
];
