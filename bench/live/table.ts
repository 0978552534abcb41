import type { Measure } from './measure.ts';
import type { Result } from './run.ts';

/** A measure's results, round by round. */
export interface Series {
  measure: Measure;
  results: Result[];
}

const HEAD = ['guest', 'pages/s', 'method', 'downtime, ms', 'of naive', 'total, ms', 'rounds', 'throughput', 'longest gap, ms', 'over 5 ms', 'longest alone, ms'] as const;

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
      spread(of('downtime'), 1),
      naive === undefined || naive === series ? '' : percent(results.map(({ downtime }, round) => downtime / naive.results[round]!.downtime)),
      spread(of('total'), 0),
      spread(of('rounds'), 0),
      measure.method === 'naive' ? '' : percent(of('throughput')),
      measure.method === 'naive' ? '' : spread(of('gapMoving'), 1),
      measure.method === 'naive' ? '' : spread(of('longGaps'), 0),
      measure.method === 'naive' ? '' : spread(of('gapAlone'), 1),
    ];
  });
  const widths = HEAD.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column]!.length)));
  return [HEAD, ...rows].map((row) => row.map((cell, column) => (column < 3 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join('  ').trimEnd());
}

/** The naive way with the same guest. */
export function naiveFor({ measure }: Series, all: readonly Series[]): Series | undefined {
  return all.find(({ measure: { method, guest, rate } }) => method === 'naive' && guest === measure.guest && rate === measure.rate);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function spread(values: readonly number[], digits: number): string {
  const [least, middle, most] = [Math.min(...values), median(values), Math.max(...values)].map((value) => value.toFixed(digits));
  return least === most ? middle! : `${middle} (${least}-${most})`;
}

function percent(ratios: readonly number[]): string {
  return `${spread(ratios.map((ratio) => 100 * ratio), 0)} %`;
}
