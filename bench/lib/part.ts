import type { Spread } from './spread.ts';
import type { Tools } from './tools.ts';

/** What one measurement says, by what it measures: `GiB/s`, `CPU s`, `peak MiB`, and so on. */
export type Sample = Readonly<Record<string, number>>;

/** One way to do what a case asks for. */
export interface Contender {
  name: string;
  /** Measures once, in fresh processes. @throws when what it did is not right. */
  measure(): Promise<Sample>;
}

/**
 * Contenders that are compared: in every round each of them is measured once, one right after the
 * other.
 */
export interface Case {
  name: string;
  contenders: readonly Contender[];
  /** What all of them need, and what is to be put away afterwards. */
  before?: () => Promise<void>;
  after?: () => Promise<void>;
}

/** What the project aims at: a ratio of two contenders in one case, or one contender's number. */
export interface Target {
  what: string;
  /** By what name it is a bar of the chart. */
  headline?: string;
  case: string;
  of: string;
  /** Of which contender; without one, the number itself is what counts. */
  over?: string;
  metric: string;
  /** The least, or the most, that it may be. */
  least?: number;
  most?: number;
}

export interface Setting {
  tools: Tools;
  /** Small amounts, to see that everything works. */
  quick: boolean;
  /** A folder for files of any kind; gone afterwards. */
  folder: string;
  /** The same in memory. */
  memoryFolder: string;
}

/** A part with everything it needs to be measured. */
export interface Prepared {
  cases: readonly Case[];
  targets: readonly Target[];
  /** What is missing here, and why. */
  leftOut: readonly string[];
  /** What the numbers say besides their ratios. */
  remarks?: (series: readonly Series[]) => string[];
}

/** One of the report's parts. */
export interface Part {
  name: string;
  title: string;
  prepare(setting: Setting): Promise<Prepared>;
}

/** A contender's samples in a case, round by round. */
export interface Series {
  case: string;
  contender: string;
  samples: Sample[];
}

/** A target with what was measured. */
export interface Verdict extends Target {
  measured: Spread;
  met: boolean;
  /** By how much it is missed, as a share of what was aimed at; 0 when it is met. */
  missedBy: number;
}

/** All of a part's numbers, as they are written down. */
export interface PartResult {
  name: string;
  title: string;
  when: string;
  machine: Machine;
  rounds: number;
  leftOut: readonly string[];
  series: Series[];
  verdicts: Verdict[];
  remarks: string[];
}

export interface Machine {
  processor: string;
  processors: number;
  memoryGiB: number;
  kernel: string;
  versions: Readonly<Record<string, string>>;
  /** Of the last minute, before the part was begun. */
  load: number;
}
