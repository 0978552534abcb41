import { byId, make } from '../../browser/page/dom.ts';
import { bytes, count, seconds } from '../../browser/page/format.ts';
import type { Check } from '../ledger.ts';
import type { Answer } from '../query.ts';
import type { Activity, ClassifiedConnection } from './messages.ts';

export type State = 'busy' | 'done' | 'failed';

export function showStatus(state: State, what: string): void {
  const status = byId('status', HTMLElement);
  status.dataset['state'] = state;
  status.textContent = what;
}

function showNumber(name: string, value: string): void {
  byId(`number-${name}`, HTMLElement).textContent = value;
}

export function showArrival({ committed, accounts, memory }: ClassifiedConnection): void {
  showNumber('arrived', count(committed));
  showNumber('accounts', count(accounts));
  showNumber('memory', bytes(memory));
  showNumber('downtime', '–');
}

export function showActivity(
  { committed, perSecond, firstCommit }: Activity,
  arrival: ClassifiedConnection | undefined,
): void {
  showNumber('rate', count(Math.round(perSecond)));
  showNumber('committed', count(committed));
  if (arrival !== undefined && firstCommit !== undefined)
    showNumber('downtime', seconds(firstCommit - arrival.lastCommit));
}

export function showChecks(committed: number, checks: readonly Check[]): void {
  byId('checks', HTMLElement).replaceChildren(
    ...checks.map(({ name, expected, found }) => {
      const right = found === expected;
      return make(
        'tr',
        { 'data-right': String(right) },
        make('td', {}, right ? 'ok' : 'WRONG'),
        make('td', {}, name),
        make('td', {}, right ? found : `${found}, not ${expected}`),
      );
    }),
  );
  byId('checked', HTMLElement).textContent = `After transaction ${count(committed)}.`;
}

export function showAnswer({ columns, rows, more }: Answer): void {
  byId('query-problem', HTMLElement).textContent = '';
  byId('columns', HTMLElement).replaceChildren(
    make('tr', {}, ...columns.map((name) => make('th', {}, name))),
  );
  byId('rows', HTMLElement).replaceChildren(
    ...rows.map((row) => make('tr', {}, ...row.map((value) => make('td', {}, value)))),
  );
  byId('answer', HTMLElement).textContent =
    `${more ? 'The first ' : ''}${count(rows.length)} ` +
    `row${rows.length === 1 ? '' : 's'}${more ? '; there are more' : ''}.`;
}

export function showRefusal(message: string): void {
  byId('query-problem', HTMLElement).textContent = message;
}
