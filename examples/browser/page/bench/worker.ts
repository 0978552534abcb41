/** Runs the contests, posts a result for each, and last null. */
import { type Contest, contests } from './contests.ts';

export interface BenchSettings {
  mebibytes: number;
  /** Of each contest, odd. */
  rounds: number;
}

/** Speeds in the contest's unit: medians. */
export interface BenchResult extends Pick<Contest, 'name' | 'about' | 'unit'> {
  core: number;
  plain: number;
}

/**
 * A measure takes at least this long, in milliseconds: without isolation browsers tell time in
 * steps of a tenth of one.
 */
const LEAST_MS = 20;

async function run({ mebibytes, rounds }: BenchSettings): Promise<void> {
  for (const { name, about, unit, work, prepare, core, plain } of await contests(mebibytes)) {
    prepare();
    const answers = [core(), plain()];
    if (answers[0] !== answers[1])
      throw new Error(`${name}: the core says ${answers[0]}, plain JavaScript ${answers[1]}`);
    const repeats = { core: repeatsOf(core), plain: repeatsOf(plain) };
    const times = { core: [] as number[], plain: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      // In turns, so that a machine that slows down slows down both.
      times.core.push(time(core, repeats.core));
      times.plain.push(time(plain, repeats.plain));
    }
    const result: BenchResult = {
      name,
      about,
      unit,
      core: work / median(times.core),
      plain: work / median(times.plain),
    };
    postMessage(result);
  }
  postMessage(null);
}

function repeatsOf(contestant: () => void): number {
  return Math.max(1, Math.ceil(LEAST_MS / 1000 / Math.max(time(contestant, 1), 1e-5)));
}

/** Seconds for one run. */
function time(contestant: () => void, repeats: number): number {
  const start = performance.now();
  for (let run = 0; run < repeats; run++) contestant();
  return (performance.now() - start) / 1000 / repeats;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

addEventListener('message', ({ data }: MessageEvent<BenchSettings>) => {
  // What fails has to fail the worker: nobody waits for a promise here.
  run(data).catch((error: unknown) =>
    setTimeout(() => {
      throw error;
    }),
  );
});
