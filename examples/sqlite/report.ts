import type { LiveStatistics, Round } from 'multifd';
import type { Check } from './ledger.ts';
import type { Pace } from './writer.ts';

const COLUMNS = ['round', 'scanned', 'dirty', 'sent', 'time', 'dirty rate', 'expected downtime'] as const;

/** Text for people, in columns that can be printed line by line. */
export const roundsHead = columns(COLUMNS);

export function roundLine(round: Round): string {
  const { scanned, dirty, sent, duration } = round;
  const expected = round['expected-downtime'];
  return columns([round.round, pages(scanned), pages(dirty), pages(sent), milliseconds(duration), `${pages(Math.round(round['dirty-pages-rate']))}/s`, expected === null ? '' : milliseconds(expected)]);
}

export function paceLine(when: string, { transactions, duration, longestGap }: Pace): string {
  return `${when.padEnd(8)}${thousands(Math.round((1000 * transactions) / duration)).padStart(8)} transactions/s, ${transactions} in ${milliseconds(duration)}; kept waiting for ${milliseconds(longestGap)} at most`;
}

export function checkLine({ name, expected, found }: Check): string {
  return `${found === expected ? 'ok' : 'WRONG'}  ${name}: ${found}${found === expected ? '' : `, not ${expected}`}`;
}

export function totalLine(statistics: LiveStatistics): string {
  return `${megabytes(statistics.ram.total)} of memory, ${megabytes(statistics.ram.transferred)} sent in ${milliseconds(statistics['total-time'])} over ${statistics.channels.length} channels`;
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

export function milliseconds(time: number): string {
  return `${time.toFixed(time < 10 ? 1 : 0)} ms`;
}

function pages(count: number): string {
  return thousands(count);
}

function thousands(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ' ');
}

function columns(cells: readonly (string | number)[]): string {
  return cells.map((cell, column) => String(cell).padStart(Math.max(8, COLUMNS[column]!.length))).join('  ');
}
