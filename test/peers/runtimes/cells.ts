import type { Result } from '../conformance/suite.ts';
import type { Place } from './declared.ts';

/** What a test run on one place found. */
export interface PlaceResults {
  place: Place;
  results: Result[];
}

/** What a migration between two runtimes was found to do. */
export interface PairCell {
  source: string;
  target: string;
  how: string;
  outcome: 'passed' | 'failed';
}

declare module 'vitest' {
  interface TaskMeta {
    placeResults?: PlaceResults;
    pairs?: PairCell[];
  }
}
