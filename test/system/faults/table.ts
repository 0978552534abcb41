import type { Outcome } from './runner.ts';

const HEAD = ['', 'executions', 'points', 'fault points', 'kills', 'faults found'];

/** What was run and what was found, by part and in all. */
export function table(outcomes: readonly Outcome[], seed: number): string {
  const rows = outcomes.map(({ part, counts, points, findings }) => [
    part.name,
    counts.executions,
    points ?? '',
    counts.faultPoints,
    counts.kills,
    findings.length,
  ]);
  const sum = (column: number): number =>
    rows.reduce((total, row) => total + Number(row[column]), 0);
  const total = ['in all', sum(1), '', sum(3), sum(4), sum(5)];
  const lines = [HEAD, ...rows, total].map((row) => row.map(String));
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const text = lines.map((line) =>
    line
      .map((cell, column) => {
        const width = widths[column]!;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd(),
  );
  return `\n${text.join('\n')}\n\nseed ${seed}; ${sum(5)} faults found in ${sum(1)} executions`;
}
