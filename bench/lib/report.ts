import type { PartResult, Series } from './part.ts';
import { digitsFor, median, spreadText } from './spread.ts';
import { textTable } from './text-table.ts';
import { verdictLine } from './verdicts.ts';

/** A part's numbers as text: medians (least-most). */
export function reportOf({
  title,
  machine,
  rounds,
  series,
  verdicts,
  leftOut,
  remarks,
}: PartResult): string {
  const { processor, processors, versions, load } = machine;
  const cases = [...new Set(series.map((one) => one.case))];
  return [
    `== ${title}`,
    `${processor}, ${processors} processors, a load of ${load.toFixed(1)} before; ${rounds} rounds: medians (least-most); ${Object.entries(
      versions,
    )
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}`,
    ...leftOut.map((what) => `left out: ${what}`),
    ...cases.flatMap((name) => ['', name, ...tableOf(series.filter((one) => one.case === name))]),
    '',
    ...remarks,
    ...verdicts.map(verdictLine),
    '',
  ].join('\n');
}

function tableOf(series: readonly Series[]): string[] {
  const metrics = [...new Set(series.flatMap(({ samples }) => samples.flatMap(Object.keys)))];
  const first = metrics[0]!;
  const base = series[0]!;
  const rows = series.map((one) => [
    `  ${one.contender}`,
    ...metrics.map((metric) => {
      const values = one.samples.flatMap((sample) => (metric in sample ? [sample[metric]!] : []));
      return values.length === 0 ? '' : spreadText(values, digitsFor(median(values)));
    }),
    one === base
      ? ''
      : spreadText(
          one.samples.map((sample, round) => sample[first]! / base.samples[round]![first]!),
          2,
        ),
  ]);
  return textTable(
    [['', ...metrics, series.length > 1 ? `${first}: of ${base.contender}` : ''], ...rows],
    1,
  );
}
