/**
 * Live migration beside the naive way: how long the program stands still, how long all of it takes,
 * and what is left of the program's throughput meanwhile, by how much it writes and how that is
 * found. `npm run bench:live -- --help` says what can be set.
 *
 * Each measurement has fresh processes; the measures take turns, in one order and then in the
 * other, so that what the machine does besides meets all of them.
 */
import { writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { inRounds } from './lib/rounds.ts';
import { median } from './lib/spread.ts';
import { GUESTS, type Measure, METHODS } from './live/measure.ts';
import { measureOnce } from './live/run.ts';
import { naiveFor, type Series, table } from './live/table.ts';

const DEFAULTS = {
  mib: '256',
  rounds: '5',
  rates: '1000,10000,50000',
  guests: GUESTS.join(','),
  methods: METHODS.join(','),
  before: '1000',
  'downtime-limit': '50',
} as const;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    json: { type: 'string' },
    'scan-share': { type: 'string' },
    mib: { type: 'string', default: DEFAULTS.mib },
    rounds: { type: 'string', default: DEFAULTS.rounds },
    rates: { type: 'string', default: DEFAULTS.rates },
    guests: { type: 'string', default: DEFAULTS.guests },
    methods: { type: 'string', default: DEFAULTS.methods },
    before: { type: 'string', default: DEFAULTS.before },
    'downtime-limit': { type: 'string', default: DEFAULTS['downtime-limit'] },
  },
});

function measures(): Measure[] {
  const methods = METHODS.filter((method) => values.methods.split(',').includes(method));
  const common = {
    mib: Number(values.mib),
    before: Number(values.before),
    downtimeLimit: Number(values['downtime-limit']),
    scanShare: values['scan-share'] === undefined ? undefined : Number(values['scan-share']),
  };
  return GUESTS.filter((guest) => values.guests.split(',').includes(guest)).flatMap(
    (guest): Measure[] => {
      // A database as it is keeps no log of its pages.
      if (guest === 'sqlite')
        return methods
          .filter((method) => method !== 'bitmap')
          .map((method) => ({ guest, method, rate: 0, ...common }));
      return values.rates
        .split(',')
        .flatMap((rate) =>
          methods.map((method) => ({ guest, method, rate: Number(rate), ...common })),
        );
    },
  );
}

async function run(): Promise<void> {
  const all: Series[] = measures().map((measure) => ({ measure, results: [] }));
  const rounds = Number(values.rounds);
  // What else the machine has to do shows in gaps first.
  const [load] = loadavg();
  await inRounds(all, rounds, async ({ measure, results }) => {
    results.push(await measureOnce(measure));
    process.stderr.write('.');
  });
  process.stderr.write('\n');
  console.log(
    `Node ${process.versions.node}, ${cpus().length} processors, a load of ` +
      `${load!.toFixed(1)} before; ${rounds} rounds: medians ` +
      `(least-most)\n\n${table(all).join('\n')}`,
  );
  for (const line of verdicts(all)) console.log(line);
  if (values.json !== undefined)
    await writeFile(
      values.json,
      `${JSON.stringify({ node: process.versions.node, processors: cpus().length, load, series: all }, null, 2)}\n`,
    );
}

/** What is aimed at, for a database with a steady writer. */
function verdicts(all: readonly Series[]): string[] {
  return all
    .filter(({ measure }) => measure.guest === 'sqlite' && measure.method !== 'naive')
    .map((series) => {
      const { measure, results } = series;
      const naive = naiveFor(series, all);
      const of = (key: 'downtime' | 'throughput' | 'gapMoving'): number =>
        median(results.map((result) => result[key]));
      const aims: [string, boolean][] = [
        ['downtime under 50 ms', of('downtime') < 50],
        ['never kept waiting for more than 5 ms', of('gapMoving') <= 5],
        ['throughput at least 70 %', of('throughput') >= 0.7],
      ];
      if (naive !== undefined)
        aims.push([
          "downtime at most a tenth of the naive way's",
          median(results.map(({ downtime }, round) => downtime / naive.results[round]!.downtime)) <=
            0.1,
        ]);
      return (
        `\nsqlite by ${measure.method}: ` +
        `${aims.map(([aim, met]) => `${aim}: ${met ? 'met' : 'missed'}`).join('; ')}`
      );
    });
}

if (values.help) {
  console.log(
    `npm run bench:live -- [--json FILE] [--scan-share SHARE]${Object.entries(DEFAULTS)
      .map(([name, value]) => ` [--${name} ${value}]`)
      .join('')}`,
  );
} else {
  await run();
}
