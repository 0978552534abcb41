import type { Reporter, TestCase } from 'vitest/node';
import { type DocumentPart, keepPart } from '../../support/document-part.ts';
import { QEMU_VERSIONS } from '../../support/qemu.ts';
import type { Cell, Direction } from './table.ts';

const TABLE: DocumentPart = {
  document: 'docs/qemu.md',
  begin: '<!-- The table: made by `npm run docs:qemu` of what the tests found. -->\n',
  end: '\n<!-- End of the table. -->',
  command: 'npm run docs:qemu',
};

/** Where rows come from, in the table's order. */
const FILES = [
  'peers/qemu/rows.test.ts',
  'peers/qemu/lost-source.test.ts',
  'peers/qemu/stopped.test.ts',
  'peers/qemu/endings.test.ts',
  'peers/qemu/files.test.ts',
  'peers/tls/qemu.test.ts',
];

const COLUMNS = (['capture', 'replay'] as const).flatMap((direction) =>
  QEMU_VERSIONS.map((version) => ({ direction, version })),
);

/**
 * Makes the table of docs/qemu.md of what the tests found: with MULTIFD_DOCS=write it goes into the
 * document; in CI the document has to have it already.
 */
export class QemuTable implements Reporter {
  /** By test file. */
  readonly #cells = new Map<string, Cell[]>();

  onTestCaseResult(test: TestCase): void {
    const file = test.module.relativeModuleId;
    this.#cells.set(file, [...(this.#cells.get(file) ?? []), ...(test.meta().cells ?? [])]);
  }

  onTestRunEnd(): void {
    const cells = FILES.flatMap((file) => this.#cells.get(file) ?? []);
    if (cells.length > 0) keepPart(TABLE, makeTable(cells));
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
  const head = [
    `| row | how | captured from ${QEMU_VERSIONS.join(' | from ')} | replayed to ${QEMU_VERSIONS.join(' | to ')} |`,
    `|${' --- |'.repeat(2 + COLUMNS.length)}`,
  ];
  return [...head, ...lines, '', ...notes.map((text, index) => `${index + 1}. ${text}`), ''].join(
    '\n',
  );
}

function show(
  cells: readonly Cell[],
  direction: Direction,
  version: Cell['version'],
  note: (text: string) => number,
): string {
  const found = cells.filter((cell) => cell.direction === direction && cell.version === version);
  if (found.length === 0) return '—';
  if (found.some(({ outcome }) => outcome === 'failed')) return '**fails**';
  const impossible = found.find(({ outcome }) => outcome === 'impossible');
  if (impossible === undefined) return `passes, ${found[0]!.releases.join(' → ')}`;
  const release = impossible.releases[0]!;
  return `not in ${release} (${note(`QEMU ${release}: “${impossible.why}”`)})`;
}
