import type { Series, Target, Verdict } from './part.ts';
import { digitsFor, spreadOf } from './spread.ts';

/** The targets of which both contenders were measured. Ratios are of the same round. */
export function verdictsOf(targets: readonly Target[], all: readonly Series[]): Verdict[] {
  return targets.flatMap((target) => {
    const of = valuesOf(all, target.case, target.of, target.metric);
    const over =
      target.over === undefined
        ? undefined
        : valuesOf(all, target.case, target.over, target.metric);
    if (of === undefined || (over === undefined && target.over !== undefined)) return [];
    const measured = spreadOf(
      over === undefined ? of : of.map((value, round) => value / over[round]!),
    );
    const { least = -Infinity, most = Infinity } = target;
    // The share by which it would have to change; where nothing at all is wanted, what there is of
    // it.
    const missedBy = Math.max(
      0,
      (least - measured.median) / Math.abs(least) || 0,
      most === 0 ? measured.median : (measured.median - most) / Math.abs(most) || 0,
    );
    return [
      { ...target, measured, met: measured.median >= least && measured.median <= most, missedBy },
    ];
  });
}

export function valuesOf(
  all: readonly Series[],
  inCase: string,
  contender: string,
  metric: string,
): number[] | undefined {
  const samples = all.find(
    (series) => series.case === inCase && series.contender === contender,
  )?.samples;
  return samples?.every((sample) => metric in sample)
    ? samples.map((sample) => sample[metric]!)
    : undefined;
}

export function verdictLine({ what, measured, met, missedBy, least, most, over }: Verdict): string {
  const bound =
    least === undefined ? `at most ${most}` : `at least ${Number(least.toPrecision(3))}`;
  const digits = Math.max(2, digitsFor(measured.median));
  const number =
    `${measured.median.toFixed(digits)} ` +
    `(${measured.least.toFixed(digits)}-${measured.most.toFixed(digits)})`;
  return (
    `${met ? 'met   ' : 'missed'}  ${what}: ${over === undefined ? '' : 'ratio '}${number}, ` +
    `${bound} wanted${met ? '' : `: missed by ${(100 * missedBy).toFixed(0)} %`}`
  );
}
