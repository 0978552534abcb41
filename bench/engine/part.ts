/** The engine's hand-over beside other ways to give work to threads. */
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Case, Contender, Part, Sample, Target } from '../lib/part.ts';
import { runProgram } from '../lib/process.ts';
import { packageUrl, ROOT } from '../lib/tools.ts';
import type { EngineOrder } from './order.ts';

const RUN = fileURLToPath(new URL('build/bench/engine/run.js', ROOT));
/** No collection in a million swaps, so that all they allocate is still there to be counted. */
const HEAP_FLAGS = ['--max-semi-space-size=128', '--min-semi-space-size=128'];

const NAMES: Record<EngineOrder['by'], string> = {
  engine: 'engine',
  'engine, async': "engine, its owner's thread",
  postMessage: 'postMessage, transfer',
  piscina: 'piscina',
  ring: 'ringbuf.js',
};
/** On a machine that has other things to do, a swap takes a change of threads. */
const TIMEOUT_MS = 600_000;
const TASK_CHANNELS = [1, 2, 4];
const BATCH_SHAPES: readonly [channels: number, clients: number][] = [
  [1, 1],
  [2, 1],
  [4, 1],
  [8, 1],
  [2, 2],
  [4, 3],
  [8, 3],
];
const QUICK_SHAPES: typeof BATCH_SHAPES = [
  [2, 1],
  [2, 2],
];
const HEAP_CASE = 'heap: bytes allocated per swap, of a million';
const ROUND_TRIP_CASE = 'round trip, send() to channel and an answer back';
const tasksCase = (channels: number): string =>
  `tasks, ${channels} channel${channels > 1 ? 's' : ''}`;

/** How many of each, so that a measurement takes about a second. */
const COUNTS: Record<EngineOrder['what'], Record<EngineOrder['by'], number>> = {
  tasks: {
    engine: 1_000_000,
    'engine, async': 40_000,
    postMessage: 40_000,
    piscina: 40_000,
    ring: 400_000,
  },
  'round trips': {
    engine: 50_000,
    'engine, async': 0,
    postMessage: 20_000,
    piscina: 20_000,
    ring: 20_000,
  },
  batches: {
    engine: 100_000,
    'engine, async': 0,
    postMessage: 20_000,
    piscina: 10_000,
    ring: 200_000,
  },
  heap: { engine: 1_000_000, 'engine, async': 0, postMessage: 0, piscina: 0, ring: 0 },
};

export const enginePart: Part = {
  name: 'engine',
  title: 'The engine: handing work to threads, in one process',
  async prepare({ quick }) {
    const away = (['piscina', 'ring'] as const).filter((by) => packageUrl(NAMES[by]) === undefined);
    const contender = (
      by: EngineOrder['by'],
      what: EngineOrder['what'],
      channels: number,
      clients = 1,
    ): Contender[] => {
      if ((away as string[]).includes(by)) return [];
      // A ring's ends never sleep: with more of them than processors they would take each other's
      // time away.
      if (by === 'ring' && channels + 1 > cpus().length) return [];
      const count = Math.ceil(COUNTS[what][by] / (quick ? 50 : 1));
      return [{ name: NAMES[by], measure: () => run({ by, what, channels, clients, count }) }];
    };
    const cases: Case[] = [
      ...TASK_CHANNELS.map((channels) => ({
        name: tasksCase(channels),
        contenders: (
          ['piscina', 'engine', 'engine, async', 'postMessage', 'ring'] as const
        ).flatMap((by) => contender(by, 'tasks', channels)),
      })),
      {
        name: ROUND_TRIP_CASE,
        contenders: (['piscina', 'engine', 'postMessage', 'ring'] as const).flatMap((by) =>
          contender(by, 'round trips', 1),
        ),
      },
      ...(quick ? QUICK_SHAPES : BATCH_SHAPES).map(([channels, clients]) => ({
        name: `batches of 512 KiB, ${channels} channels, ${clients} clients`,
        contenders: (clients === 1
          ? (['piscina', 'engine', 'postMessage', 'ring'] as const)
          : (['engine'] as const)
        ).flatMap((by) => contender(by, 'batches', channels, clients)),
      })),
      { name: HEAP_CASE, contenders: contender('engine', 'heap', 1) },
    ];
    return { cases, targets: TARGETS, leftOut: away.map((by) => `${NAMES[by]}: not installed`) };
  },
};

const TARGETS: readonly Target[] = [
  ...TASK_CHANNELS.map((channels) => ({
    what: `tasks per second of piscina's, ${channels} channels`,
    ...(channels === 2 && { headline: "engine: tasks per second, of piscina's" }),
    case: tasksCase(channels),
    of: NAMES.engine,
    over: NAMES.piscina,
    metric: 'M/s',
    least: 5,
  })),
  // Less than one object in a thousand swaps: what there is is the measurement's own.
  ...['client', 'channel'].map((end) => ({
    what: `bytes that a swap allocates, by the ${end}`,
    case: HEAP_CASE,
    of: NAMES.engine,
    metric: `bytes by the ${end}`,
    most: 0.01,
  })),
];

async function run(order: EngineOrder): Promise<Sample> {
  const flags = order.what === 'heap' ? HEAP_FLAGS : [];
  return JSON.parse(
    (
      await runProgram(process.execPath, [...flags, RUN, JSON.stringify(order)], {
        timeoutMs: TIMEOUT_MS,
      })
    ).stdout,
  ) as Sample;
}
