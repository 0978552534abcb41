import { now } from './clock.ts';
import { Turns } from './turns.ts';

/** What a writer has done in a period. */
export interface Pace {
  transactions: number;
  /** Milliseconds. */
  duration: number;
  /** The longest time that the event loop was kept from the writer, in milliseconds. */
  longestGap: number;
  /** How often it was kept for longer than {@link LONG_GAP_MS}. */
  longGaps: number;
}

export const LONG_GAP_MS = 5;

/** Writes as fast as it can: one transaction in each turn of the event loop. */
export class Writer {
  /** The number of the last transaction that was committed. */
  committed: number;
  /** When that was, and when the first since the last start was; by the clock of all processes. */
  lastCommit = 0;
  firstCommit: number | undefined;
  /** Rejects when a transaction fails. */
  readonly failure: Promise<never>;
  readonly #transact: (number: number) => void;
  #fail!: (error: unknown) => void;
  #running = false;
  #idleShare = 0;
  readonly #turns = new Turns();
  /** Milliseconds to leave unused. */
  #idle = 0;
  /** When the writer last left the event loop to others. */
  #left = 0;
  #since = 0;
  #before = 0;
  #longestGap = 0;
  #longGaps = 0;

  /** @param committed the number of the last transaction so far. */
  constructor(transact: (number: number) => void, committed: number) {
    this.#transact = transact;
    this.committed = committed;
    this.failure = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failure.catch(() => {});
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.firstCommit = undefined;
    this.#left = now();
    this.pace();
    this.#turns.schedule(this.#write, 0);
  }

  /** No transaction is under way once this has been called, since each is done in one turn. */
  stop(): void {
    this.#running = false;
    this.#turns.cancel();
  }

  /** Leaves this share of the time unused. */
  throttle(share: number): void {
    this.#idleShare = share;
  }

  /** What was done since the last time that this was asked. */
  pace(): Pace {
    const pace = {
      transactions: this.committed - this.#before,
      duration: now() - this.#since,
      longestGap: this.#longestGap,
      longGaps: this.#longGaps,
    };
    this.#since = now();
    this.#before = this.committed;
    this.#longestGap = 0;
    this.#longGaps = 0;
    return pace;
  }

  #note(gap: number): void {
    this.#longestGap = Math.max(this.#longestGap, gap);
    if (gap > LONG_GAP_MS) this.#longGaps++;
  }

  readonly #write = (): void => {
    const begun = now();
    if (this.#idleShare === 0) this.#note(begun - this.#left);
    try {
      this.#transact(this.committed + 1);
    } catch (error) {
      this.stop();
      this.#fail(error);
      return;
    }
    this.committed++;
    this.#left = now();
    this.lastCommit = this.#left;
    this.firstCommit ??= this.#left;
    this.#idle += ((this.#left - begun) * this.#idleShare) / (1 - this.#idleShare);
    // Timers know whole milliseconds only.
    const delay = this.#idle < 2 ? 0 : this.#idle;
    this.#idle -= delay;
    this.#turns.schedule(this.#write, delay);
  };
}
