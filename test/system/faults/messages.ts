import type { Counts } from './part.ts';

/** What the runner and its workers tell each other. */

export type Order =
  | { kind: 'points'; part: string }
  | { kind: 'run'; part: string; seed: number; indices: number[] };

export interface Found {
  what: string;
  message: string;
  /** The input in words. */
  notes: string[];
}

export type Word =
  | { kind: 'ready'; home: string }
  | { kind: 'points'; count: number }
  | { kind: 'begin'; index: number }
  | { kind: 'end'; index: number; counts: Counts; fault?: Found }
  | { kind: 'done' };
