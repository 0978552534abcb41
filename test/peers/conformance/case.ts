import type { Capability, Io } from './capabilities.ts';

/** One thing that a runtime has to do right if it has what that takes. */
export interface Case {
  /** The row of the table that it counts for. */
  capability: Capability;
  name: string;
  /** What else it takes. */
  needs?: readonly Capability[];
  run(io: Io): Promise<void>;
}

/** How the lack of something shows: what was asked for is refused, with this error. */
export interface Lack {
  capability: Capability;
  /** @returns what the error said. */
  refused(io: Io): Promise<string>;
}
