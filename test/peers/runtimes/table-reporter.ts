import type { Reporter, TestCase } from 'vitest/node';
import { CAPABILITIES, type Capability } from '../conformance/capabilities.ts';
import { type DocumentPart, keepPart } from '../../support/document-part.ts';
import type { PairCell, PlaceResults } from './cells.ts';
import type { Place } from './declared.ts';

const part = (name: string): DocumentPart => ({
  document: 'docs/runtimes.md',
  begin: `<!-- ${name}: made by \`npm run docs:runtimes\` of what the tests found. -->\n`,
  end: `\n<!-- End of ${name.toLowerCase()}. -->`,
  command: 'npm run docs:runtimes',
});

const CAPABILITY_TABLE = part('Capabilities');
const PAIR_TABLE = part('Pairs');

const COLUMNS: readonly [Place, string][] = [
  ['node20', 'Node 20'],
  ['node24', 'Node 24'],
  ['node26', 'Node 26'],
  ['deno', 'Deno'],
  ['bun', 'Bun'],
  ['workerd', 'workerd'],
  ['chromium', 'Chromium'],
  ['page without isolation', 'Chromium, page not isolated'],
];

/** Makes the tables of docs/runtimes.md of what the tests found. */
export class RuntimeTables implements Reporter {
  readonly #places = new Map<Place, PlaceResults>();
  readonly #pairs: PairCell[] = [];

  onTestCaseResult(test: TestCase): void {
    const { placeResults, pairs = [] } = test.meta();
    if (placeResults !== undefined) this.#places.set(placeResults.place, placeResults);
    this.#pairs.push(...pairs);
  }

  onTestRunEnd(): void {
    if (this.#places.size > 0) keepPart(CAPABILITY_TABLE, capabilityTable(this.#places));
    if (this.#pairs.length > 0) keepPart(PAIR_TABLE, pairTable(this.#pairs));
  }
}

function capabilityTable(places: ReadonlyMap<Place, PlaceResults>): string {
  const notes: string[] = [];
  const note = (text: string): number => {
    if (!notes.includes(text)) notes.push(text);
    return notes.indexOf(text) + 1;
  };
  const show = (place: Place, capability: Capability): string => {
    const found =
      places.get(place)?.results.filter((result) => result.capability === capability) ?? [];
    if (found.length === 0) return '—';
    if (found.some(({ outcome }) => outcome === 'failed')) return '**fails**';
    const unsupported = found.find(({ outcome }) => outcome === 'unsupported');
    return unsupported === undefined ? 'yes' : `no (${note(unsupported.detail ?? '')})`;
  };
  const rows = (Object.entries(CAPABILITIES) as [Capability, string][]).map(
    ([capability, text]) => [text, ...COLUMNS.map(([place]) => show(place, capability))],
  );
  return [
    ...table(['', ...COLUMNS.map(([, heading]) => heading)], rows),
    '',
    ...notes.map((text, index) => `${index + 1}. “${text}”`),
    '',
  ].join('\n');
}

function pairTable(pairs: readonly PairCell[]): string {
  const rows = pairs.map(({ source, target, how, outcome }) => [
    source,
    target,
    how,
    outcome === 'passed' ? 'passes' : '**fails**',
  ]);
  return `${table(
    ['source', 'target', 'how', ''],
    rows.sort((a, b) => order(a) - order(b)),
  ).join('\n')}\n`;
}

/** Files of tests come to their end in any order; processes first, then the others. */
function order([source, target]: readonly string[]): number {
  const names = ['Node', 'Deno', 'Bun', 'workerd', 'Chromium'];
  const [from, to] = [names.indexOf(source!), names.indexOf(target!)];
  return Math.max(from, to) * 100 + from * 10 + to;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}
