import type { Pace } from '../../examples/sqlite/writer.ts';

/**
 * The ways to move a program: `naive` stops it, copies all of its memory over one socket, and
 * starts it; the others are live, named by how they find changes.
 */
export const METHODS = ['naive', 'compare', 'hash', 'bitmap'] as const;
export type Method = (typeof METHODS)[number];

export const GUESTS = ['synthetic', 'sqlite'] as const;

/** What is to be measured, in two processes of its own. */
export interface Measure {
  guest: (typeof GUESTS)[number];
  method: Method;
  mib: number;
  /** Pages that the synthetic guest writes to per second. */
  rate: number;
  /** Milliseconds that the guest runs alone first. */
  before: number;
  /** Of the live migrations. */
  downtimeLimit: number;
  scanShare: number | undefined;
}

/** What a source's process says when all is done. */
export interface Departure {
  /** When the guest's last turn ended, by the clock of all processes. */
  last: number;
  /** Milliseconds from the call to the target's word that it runs. */
  total: number;
  rounds: number;
  /** The guest's turns alone, and from the call to the stop. */
  alone: Pace;
  moving: Pace;
  digest: string;
}

/** What a target's process says when all is done. */
export interface ClassifiedConnection {
  /** When the guest's first turn ended. */
  first: number;
  /** What came, for comparison with what left. */
  digest: string;
  problems: string[];
}

export type TargetWord =
  | { kind: 'listening'; uri: string }
  | { kind: 'arrived'; arrival: ClassifiedConnection };

/** Of both ends. */
export const CHANNELS = 4;
