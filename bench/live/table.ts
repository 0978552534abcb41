import { spreadText } from '../lib/spread.ts';
import { textTable } from '../lib/text-table.ts';
import type { Measure } from './measure.ts';
import type { Result } from './run.ts';

/** A measure's results, round by round. */
export interface Series {
  measure: Measure;
  results: Result[];
}

const HEAD = [
  'guest',
  'pages/s',
  'method',
  'downtime, ms',
  'of naive',
  'total, ms',
  'rounds',
  'throughput',
  'longest gap, ms',
  'over 5 ms',
  'longest alone, ms',
] as const;

/** @returns lines: medians with the least and the most. Ratios are of the same round. */
export function table(all: readonly Series[]): string[] {
  const rows = all.map((series) => {
    const { measure, results } = series;
    const naive = naiveFor(series, all);
    const of = (key: keyof Result): number[] => results.map((result) => result[key]);
    return [
      `${measure.guest} ${measure.mib} MiB`,
      measure.guest === 'synthetic' ? String(measure.rate) : 'as it can',
      measure.method,
      spreadText(of('downtime'), 1),
      naive === undefined || naive === series
        ? ''
        : percent(results.map(({ downtime }, round) => downtime / naive.results[round]!.downtime)),
      spreadText(of('total'), 0),
      spreadText(of('rounds'), 0),
      measure.method === 'naive' ? '' : percent(of('throughput')),
      measure.method === 'naive' ? '' : spreadText(of('gapMoving'), 1),
      measure.method === 'naive' ? '' : spreadText(of('longGaps'), 0),
      measure.method === 'naive' ? '' : spreadText(of('gapAlone'), 1),
    ];
  });
  return textTable([HEAD, ...rows], 3);
}

/** The naive way with the same guest. */
export function naiveFor({ measure }: Series, all: readonly Series[]): Series | undefined {
  return all.find(
    ({ measure: { method, guest, rate } }) =>
      method === 'naive' && guest === measure.guest && rate === measure.rate,
  );
}

function percent(ratios: readonly number[]): string {
  return `${spreadText(
    ratios.map((ratio) => 100 * ratio),
    0,
  )} %`;
}
