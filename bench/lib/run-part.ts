import { cpus, loadavg, release, totalmem } from 'node:os';
import type { Contender, Machine, Part, PartResult, Sample, Series, Setting } from './part.ts';
import { inRounds } from './rounds.ts';
import { verdictsOf } from './verdicts.ts';

/**
 * Measures everything of one part.
 * @param named what the names of the cases have to have in them.
 */
export async function runPart(
  { name, title, prepare }: Part,
  setting: Setting,
  rounds: number,
  named = '',
): Promise<PartResult> {
  const machine = machineOf(setting);
  const { cases, targets, leftOut, remarks = () => [] } = await prepare(setting);
  const series: Series[] = [];
  for (const one of cases.filter((each) => each.name.includes(named))) {
    await one.before?.();
    const all = one.contenders.map((contender) => ({ contender, samples: [] as Sample[] }));
    await inRounds(all, rounds, async ({ contender, samples }) => {
      samples.push(await measured(one.name, contender));
      process.stderr.write('.');
    });
    await one.after?.();
    series.push(
      ...all.map(({ contender, samples }) => ({
        case: one.name,
        contender: contender.name,
        samples,
      })),
    );
  }
  process.stderr.write('\n');
  return {
    name,
    title,
    when: new Date().toISOString(),
    machine,
    rounds,
    leftOut,
    series,
    verdicts: verdictsOf(targets, series),
    remarks: remarks(series),
  };
}

async function measured(inCase: string, { name, measure }: Contender): Promise<Sample> {
  try {
    return await measure();
  } catch (cause) {
    throw new Error(`${inCase}: ${name}: ${(cause as Error).message}`, { cause });
  }
}

function machineOf({ tools }: Setting): Machine {
  const [load] = loadavg();
  return {
    processor: cpus()[0]!.model.trim(),
    processors: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    versions: tools.versions(),
    load: load!,
  };
}
