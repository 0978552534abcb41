import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chartOf } from './chart.ts';
import type { PartResult } from './part.ts';

/** What is written down: each part as it was measured last. */
export interface TrackerState {
  parts: PartResult[];
}

/**
 * Writes the numbers and the chart, with the parts that were not measured now as they are there.
 */
export async function keep(
  folder: string,
  results: readonly PartResult[],
  order: readonly string[],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'bench.json');
  const before = await kept(file);
  const parts = order.flatMap(
    (name) => [...results, ...before].find((part) => part.name === name) ?? [],
  );
  const first = parts[0];
  await writeFile(
    file,
    `${JSON.stringify({ parts } satisfies TrackerState, (_, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(6)) : value), 1)}\n`,
  );
  const caption =
    first === undefined
      ? ''
      : `Ratios within one run, ${first.machine.processor}, ${first.machine.processors} ` +
        'processors; a tick is what is aimed at';
  await writeFile(
    join(folder, 'bench.svg'),
    chartOf(
      parts.flatMap(({ verdicts }) => verdicts),
      caption,
    ),
  );
}

async function kept(file: string): Promise<PartResult[]> {
  try {
    return (JSON.parse(await readFile(file, 'utf8')) as TrackerState).parts;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
