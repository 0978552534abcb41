import type { Random } from '../../support/random.ts';

/** What is counted, over all parts. */
export interface Counts {
  executions: number;
  /** Places at which an operation, a connection or a message was made to fail. */
  faultPoints: number;
  kills: number;
}

/** What one execution is given. */
export interface Execution {
  readonly random: Random;
  /** The number of the execution: of a part with points, the point. */
  readonly index: number;
  /** A new empty folder, gone afterwards. */
  readonly folder: string;
  /** Told how many bytes of input there are, for the bound of the memory. */
  input(bytes: number): void;
  faultPoint(): void;
  kill(): void;
  /** There is nothing to run under this number: it does not count. */
  skip(): void;
  /** What is told beside a fault: the input in words. */
  note(what: string): void;
}

/** One line of the table. */
export interface Part {
  readonly name: string;
  readonly what: string;
  /** Executions of a whole run, and of the short one. */
  readonly executions: { readonly whole: number; readonly short: number };
  /**
   * How many points there are, for parts that go through all of them: the most executions that make
   * sense.
   */
  points?(folder: string): Promise<number>;
  /** Throws a Fault for what an oracle finds. */
  run(execution: Execution): Promise<void>;
  /**
   * Looks at what is held and at the memory around each execution (true). Not where others share
   * the process's.
   */
  readonly watched?: false;
}
