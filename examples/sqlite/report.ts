import type { LiveStatistics, Round } from 'multifd';
import type { Check } from './ledger.ts';
import type { Pace } from './writer.ts';

const COLUMNS = [
  'round',
  'scanned',
  'dirty',
  'sent',
  'time',
  'dirty rate',
  'expected downtime',
] as const;

/** Pages, and pages per second. Columns that are printed line by line, as the rounds go. */
export const roundsHead = columns(COLUMNS);

export function roundLine(round: Round): string {
  const { scanned, dirty, sent, duration } = round;
  const expected = round['expected-downtime'];
  // The first round sends all, and knows nothing yet.
  const outlook =
    expected === null ? [] : [`${thousands(round['dirty-pages-rate'])}/s`, milliseconds(expected)];
  return columns([
    round.round,
    thousands(scanned),
    thousands(dirty),
    thousands(sent),
    milliseconds(duration),
    ...outlook,
  ]);
}

export function paceLine(when: string, { transactions, duration, longestGap }: Pace): string {
  return (
    `${when.padEnd(8)}${thousands((1000 * transactions) / duration).padStart(8)} ` +
    `transactions/s, ${thousands(transactions)} in ${milliseconds(duration)}; kept waiting for ` +
    `${milliseconds(longestGap)} at most`
  );
}

export function checkLine({ name, expected, found }: Check): string {
  return (
    `${found === expected ? 'ok' : 'WRONG'}  ${name}: ` +
    `${found}${found === expected ? '' : `, not ${expected}`}`
  );
}

export function totalLine(statistics: LiveStatistics): string {
  return (
    `${megabytes(statistics.ram.total)} of memory, ${megabytes(statistics.ram.transferred)} ` +
    `sent in ${milliseconds(statistics['total-time'])} over ${statistics.channels.length} ` +
    'channels'
  );
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

export function milliseconds(time: number): string {
  return `${time.toFixed(time < 10 ? 1 : 0)} ms`;
}

function thousands(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ' ');
}

function columns(cells: readonly (string | number)[]): string {
  return cells
    .map((cell, column) => String(cell).padStart(Math.max(8, COLUMNS[column]!.length)))
    .join('  ');
}
