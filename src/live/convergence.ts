import type { PassCount } from './scan/pass.ts';

/** What a round was like. */
export interface RoundFacts {
  count: PassCount;
  /** Milliseconds from its begin to its end. */
  duration: number;
  /**
   * Milliseconds of it that were spent on scanning, copying, and waiting for channels: not on the
   * guest's turns.
   */
  active: number;
}

export interface Forecast {
  /** Pages per second. */
  dirtyRate: number;
  /** Milliseconds; undefined after the first round. */
  expectedDowntime: number | undefined;
}

export interface ConvergenceOptions {
  downtimeLimit: number;
  maxRounds: number;
  /** Whether the guest can be throttled. */
  autoConverge: boolean;
  /** Of the guest's thread, for scanning at its memory, to begin with. */
  scanShare: number;
}

/** QEMU's cpu-throttle-initial, cpu-throttle-increment and max-cpu-throttle. */
const THROTTLE_FIRST = 0.2;
const THROTTLE_STEP = 0.1;
const THROTTLE_MOST = 0.99;
/**
 * QEMU's throttle-trigger-threshold: a round that found more than this share of what the one before
 * had sent did not help.
 */
const TRIGGER = 0.5;
/** Such rounds in a row before the guest is throttled. */
const PATIENCE = 2;
/** After each such round the scan gets twice the share of the guest's thread, up to this. */
const MOST_SHARE = 0.5;

/** Decides, round by round, when a running guest is near enough to its copy. */
export class Convergence {
  /** The share of time that the guest should leave unused. */
  throttle = 0;
  /** The share of the guest's thread that scanning its memory may take. */
  share: number;
  readonly #options: ConvergenceOptions;
  #rounds = 0;
  #before: RoundFacts | undefined;
  #msPerDirtyPage = Number.POSITIVE_INFINITY;
  #fruitless = 0;
  #sprinting = false;

  constructor(options: ConvergenceOptions) {
    this.#options = options;
    this.share = options.scanShare;
  }

  /** Takes in a round's facts. @returns what to expect. */
  take(facts: RoundFacts): Forecast {
    const before = this.#before;
    this.#before = facts;
    this.#rounds++;
    const { count, duration, active } = facts;
    // What a dirty page costs to find, copy and send, at the pace that the channels keep: no more
    // than in the round that had most for its time.
    if (count.dirty > 0)
      this.#msPerDirtyPage = Math.min(this.#msPerDirtyPage, active / count.dirty);
    if (before === undefined) return { dirtyRate: 0, expectedDowntime: undefined };
    // What this round found was changed since the last one had come by: about as long ago as that
    // one took.
    const perMs = count.dirty / Math.max(before.duration, 1);
    const nextDirty = Math.min(count.scanned, perMs * duration);
    // The last round scans as much as this one did, and sends what will have changed since.
    const scanning = count.dirty === 0 ? active : active - count.dirty * this.#msPerDirtyPage;
    const expectedDowntime = scanning + (count.dirty === 0 ? 0 : nextDirty * this.#msPerDirtyPage);
    const helped =
      expectedDowntime <= this.#options.downtimeLimit ||
      count.dirty <= before.count.dirty * TRIGGER;
    this.#fruitless = helped ? 0 : this.#fruitless + 1;
    if (!helped) this.share = Math.max(this.share, Math.min(MOST_SHARE, 2 * this.share));
    return { dirtyRate: perMs * 1000, expectedDowntime };
  }

  /** What to do after that round. `throttle` says as well that {@link throttle} has gone up. */
  decide({ expectedDowntime }: Forecast): 'switch over' | 'go on' | 'throttle' | 'give up' {
    const { downtimeLimit, maxRounds, autoConverge } = this.#options;
    if (
      expectedDowntime !== undefined &&
      expectedDowntime <= downtimeLimit &&
      (this.#sprinting || this.#rounds >= maxRounds)
    )
      return 'switch over';
    if (this.#rounds >= maxRounds) return 'give up';
    if (expectedDowntime !== undefined && expectedDowntime <= downtimeLimit) {
      // Near enough: one more round, as quick as may be, leaves the guest the least time to change
      // anything in.
      this.#sprinting = true;
      this.share = Math.max(this.share, MOST_SHARE);
      return 'go on';
    }
    this.#sprinting = false;
    if (autoConverge && this.#fruitless >= PATIENCE && this.throttle < THROTTLE_MOST) {
      this.throttle =
        this.throttle === 0
          ? THROTTLE_FIRST
          : Math.min(THROTTLE_MOST, Math.round((this.throttle + THROTTLE_STEP) * 100) / 100);
      this.#fruitless = 0;
      return 'throttle';
    }
    return 'go on';
  }
}
