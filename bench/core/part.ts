/** The core's kernels in every runtime, beside C and plain JavaScript. */
import { compileNative } from '../lib/compile.ts';
import type { Case, Contender, Part, Setting, Target } from '../lib/part.ts';
import { KERNELS, type Kernel, metricOf } from './ground.ts';
import {
  chromiumLaunch,
  type Launch,
  nativeLaunch,
  processLaunch,
  scanSpeed,
  workerdLaunch,
} from './launch.ts';

const NATIVE = 'native C';
/** Larger than any cache. */
const MIB = 128;
const QUICK_MIB = 8;
const SCAN_MIB = 1024;
const QUICK_KERNELS: readonly Kernel[] = ['zero scan: all zero', 'compare', 'packet: check'];

const SCAN_CASE = 'live: a scan of 1 GiB that has not changed';
const SCAN = 'live scan on Node';

/** What is aimed at: of native C, for scans, compare and gather. */
const WANTED: Readonly<Record<string, number>> = {
  'core on Node': 0.85,
  'core on Deno': 0.7,
  'core on Bun': 0.7,
};

export const corePart: Part = {
  name: 'core',
  title: 'The core: kernels over pages and packets, one thread',
  async prepare(setting) {
    const { tools, quick } = setting;
    const mib = quick ? QUICK_MIB : MIB;
    const native = compileNative(setting, 'bench/core/native.c');
    const runtimes = launches(setting);
    const cases: Case[] = (quick ? QUICK_KERNELS : KERNELS).map((kernel) => ({
      name: kernel,
      contenders: [
        ...(native === undefined
          ? []
          : [contender(NATIVE, nativeLaunch(native), kernel, 'core', mib)]),
        ...runtimes.flatMap(({ runtime, launch }) => [
          contender(`core on ${runtime}`, launch, kernel, 'core', mib),
          contender(`JavaScript on ${runtime}`, launch, kernel, 'script', mib),
        ]),
      ],
    }));
    const scanMib = quick ? QUICK_MIB : SCAN_MIB;
    cases.push({
      name: SCAN_CASE,
      contenders: [
        ...(native === undefined
          ? []
          : [contender(NATIVE, nativeLaunch(native), 'compare', 'core', scanMib)]),
        { name: SCAN, measure: async () => ({ 'GiB/s': await scanSpeed(scanMib) }) },
      ],
    });
    return {
      cases,
      targets: targets(),
      leftOut: tools.missing('cc', 'deno', 'bun', 'workerd', 'chromium'),
    };
  },
};

function contender(
  name: string,
  launch: Launch,
  kernel: Kernel,
  by: 'core' | 'script',
  mib: number,
): Contender {
  return { name, measure: async () => ({ [metricOf(kernel)]: await launch({ kernel, by, mib }) }) };
}

function launches({ tools, folder }: Setting): { runtime: string; launch: Launch }[] {
  const found: { runtime: string; launch: Launch }[] = [
    { runtime: 'Node', launch: processLaunch(process.execPath) },
  ];
  const [deno, bun, workerd, chromium] = [
    tools.path('deno'),
    tools.path('bun'),
    tools.path('workerd'),
    tools.path('chromium'),
  ];
  if (deno !== undefined)
    found.push({
      runtime: 'Deno',
      launch: processLaunch(deno, 'run', '--quiet', '--no-config', '--allow-all'),
    });
  if (bun !== undefined) found.push({ runtime: 'Bun', launch: processLaunch(bun, 'run') });
  if (workerd !== undefined)
    found.push({ runtime: 'workerd', launch: workerdLaunch(workerd, folder) });
  if (chromium !== undefined)
    found.push({ runtime: 'Chromium', launch: chromiumLaunch(chromium, folder) });
  return found;
}

function targets(): Target[] {
  const wanted = KERNELS.filter((kernel) => /^(zero scan|compare|gather)/.test(kernel));
  const scan: Target = {
    what: 'live: a scan of unchanged memory, of native memcmp',
    headline: 'live scan, of native memcmp',
    case: SCAN_CASE,
    of: SCAN,
    over: NATIVE,
    metric: 'GiB/s',
    least: 1 / 1.3,
  };
  return [
    scan,
    ...Object.entries(WANTED).flatMap(([of, least]) =>
      wanted.map((kernel) => ({
        what: `${of}, ${kernel}, of native C`,
        ...(of === 'core on Node' && { headline: `${of}, of native C: ${kernel}` }),
        case: kernel,
        of,
        over: NATIVE,
        metric: metricOf(kernel),
        least,
      })),
    ),
  ];
}
