import type { Check } from './ledger.ts';
import type { HostState } from './machine.ts';
import type { Pace } from './writer.ts';

/** What goes with the pages: the state that is not in linear memory. */
export interface Carried {
  host: HostState;
  /** How many the ledger has. */
  accounts: number;
  /** The last transaction's number. */
  committed: number;
  /** When that was, by the clock of all processes. */
  lastCommit: number;
}

/** What the target's process says, in this order. */
export type TargetMessage =
  | { kind: 'listening'; uri: string }
  | { kind: 'verified'; outcome: Outcome }
  | { kind: 'failed'; message: string };

/** What became of the database at the target. */
export interface Outcome {
  /** Where it is, by name and version. */
  runtime: string;
  /** The number of the last transaction that came along. */
  arrived: number;
  /** When the first transaction here was committed, by the clock of all processes. */
  firstCommit: number;
  pace: Pace;
  checks: Check[];
}

/** Of both ends. */
export const CHANNELS = 4;
/** The name of the memory as a RAM block, and of what is carried beside it. */
export const BLOCK = 'sqlite';
