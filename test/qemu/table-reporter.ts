import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Reporter, TestCase } from 'vitest/node';
import type { Cell, Direction } from './table.ts';

const DOCUMENT = fileURLToPath(new URL('../../docs/qemu.md', import.meta.url));
const BEGIN = '<!-- The table: made by `npm run docs:qemu` of what the tests found. -->\n';
const END = '\n<!-- End of the table. -->';

const COLUMNS = (['capture', 'replay'] as const).flatMap((direction) => (['10.0', '7.2'] as const).map((version) => ({ direction, version })));

/**
 * Makes the table of docs/qemu.md of what the tests found: with MULTIFD_DOCS=write it goes into the document; in CI the document has to have it already.
 */
export class QemuTable implements Reporter {
  readonly #cells: Cell[] = [];

  onTestCaseResult(test: TestCase): void {
    this.#cells.push(...(test.meta().cells ?? []));
  }

  onTestRunEnd(): void {
    if (this.#cells.length === 0) return;
    const document = readFileSync(DOCUMENT, 'utf8');
    const from = document.indexOf(BEGIN) + BEGIN.length;
    const to = document.indexOf(END);
    const table = makeTable(this.#cells);
    if (process.env['MULTIFD_DOCS'] === 'write') {
      writeFileSync(DOCUMENT, document.slice(0, from) + table + document.slice(to));
    } else if (process.env['CI'] === 'true' && document.slice(from, to) !== table) {
      process.stdout.write(`\ndocs/qemu.md does not say what this run found: npm run docs:qemu\n${table}\n`);
      process.exitCode = 1;
    }
  }
}

function makeTable(cells: readonly Cell[]): string {
  const notes: string[] = [];
  const note = (text: string): number => {
    if (!notes.includes(text)) notes.push(text);
    return notes.indexOf(text) + 1;
  };
  const rows = new Map<string, Cell[]>();
  for (const cell of cells) rows.set(cell.row, [...(rows.get(cell.row) ?? []), cell]);
  const lines = [...rows].map(([row, found]) => {
    const entries = COLUMNS.map(({ direction, version }) => show(found, direction, version, note));
    return `| ${[row, found.find(({ how }) => how !== '')?.how ?? '', ...entries].join(' | ')} |`;
  });
  const head = ['| row | how | captured from 10.0 | from 7.2 | replayed to 10.0 | to 7.2 |', '| --- | --- | --- | --- | --- | --- |'];
  return [...head, ...lines, '', ...notes.map((text, index) => `${index + 1}. ${text}`), ''].join('\n');
}

function show(cells: readonly Cell[], direction: Direction, version: Cell['version'], note: (text: string) => number): string {
  const cell = cells.find((candidate) => candidate.direction === direction && candidate.version === version);
  if (cell === undefined) return '';
  if (cell.outcome === 'passed') return 'passes';
  if (cell.outcome === 'failed') return '**fails**';
  return `not in ${version} (${note(`QEMU ${version}: “${cell.why}”`)})`;
}
