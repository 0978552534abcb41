import Table from 'cli-table3';
import { columnsOf } from './lines.ts';

/** On no terminal: columns, and nothing that a log or `grep` would stumble over. */
const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

type Rows = readonly (readonly (string | number)[])[];

/**
 * A table; the first column holds names, the others numbers. On a terminal it has lines, and is as
 * wide as the terminal at most: if need be, the words of its head stand one below the other, the
 * lines go, and names are cut off, in that order.
 */
export function formatTable(
  head: readonly string[],
  rows: Rows,
  to: NodeJS.WriteStream = process.stdout,
): string {
  if (!to.isTTY) return drawn(head, rows, false);
  const columns = columnsOf(to);
  const stacked = head.map((title) => title.replaceAll(' ', '\n'));
  for (const titles of [head, stacked]) {
    const table = drawn(titles, rows, true);
    if (widthOf(table) <= columns) return table;
  }
  const plain = drawn(stacked, rows, false);
  const excess = widthOf(plain) - columns;
  if (excess <= 0) return plain;
  const names = Math.max(...[stacked, ...rows].map(([name]) => String(name).length));
  return drawn(stacked, rows, false, Math.max(8, names - excess));
}

const widthOf = (table: string): number =>
  Math.max(...table.split('\n').map((line) => line.length));

/** @param names columns of the first column; else as many as it needs. */
function drawn(head: readonly string[], rows: Rows, lines: boolean, names?: number): string {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, column) => (column === 0 ? 'left' : 'right')),
    // Colours would reach files and pipes as well.
    style: lines
      ? { head: [], border: [], compact: true }
      : { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 0 },
    ...(!lines && { chars: NO_LINES }),
    ...(names !== undefined && { colWidths: [names] }),
  });
  table.push(...rows.map((row) => [...row]));
  return table.toString().replace(/ +$/gm, '');
}
