import type { ServerEnd } from '../../browser/page/server.ts';
import type { Check } from '../ledger.ts';
import type { Answer } from '../query.ts';

/** What the page asks the worker for, one thing after another. */
export type Request =
  | { kind: 'receive'; end: ServerEnd }
  | { kind: 'send'; end: ServerEnd }
  | { kind: 'verify' }
  | { kind: 'ask'; sql: string };

export interface ClassifiedConnection {
  /**
   * The number of the last transaction that came along, and when it was committed at the source, by
   * the clock of all processes.
   */
  committed: number;
  lastCommit: number;
  accounts: number;
  /** Bytes of memory. */
  memory: number;
}

/** What the database does, and has done since this was last said. */
export interface Activity {
  committed: number;
  perSecond: number;
  /** When the first transaction here was committed; undefined as long as there is none. */
  firstCommit: number | undefined;
}

/** What the worker says. */
export type Report =
  | { kind: 'moving'; transferred: number; total: number }
  | { kind: 'arrived'; arrival: ClassifiedConnection }
  | { kind: 'activity'; activity: Activity }
  | { kind: 'left'; committed: number }
  | { kind: 'failed'; message: string }
  | { kind: 'verified'; committed: number; checks: Check[] }
  | { kind: 'answered'; answer: Answer }
  | { kind: 'refused'; message: string };
