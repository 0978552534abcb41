import {
  type MigrationStatistics,
  type RamStatistics,
  StatisticsCollector,
} from '../migration/statistics.ts';

/** One round over a running guest's memory. Pages, where nothing else is said. */
export interface Round {
  /** From 1 on. */
  round: number;
  /** Looked at, or asked for in the dirty log. */
  scanned: number;
  /** Found changed since they were sent last; in the first round, all. */
  dirty: number;
  /** Sent with content; the other dirty ones are zero. */
  sent: number;
  /** Milliseconds. */
  duration: number;
  /** Pages per second that the guest changes; 0 in the first round, which can't know. */
  'dirty-pages-rate': number;
  /**
   * Milliseconds that the guest would have to stop for if it were stopped now; null in the first
   * round.
   */
  'expected-downtime': number | null;
}

/** Names and units as in QEMU's `query-migrate`. */
export interface LiveStatistics extends MigrationStatistics {
  /** Milliseconds, as of the last round; null before the second. */
  'expected-downtime': number | null;
  /**
   * Milliseconds from the call of `stop` to the target's word that it runs, or to the snapshot's
   * last page; null before.
   */
  downtime: number | null;
  /** The share of time that the guest was asked to leave unused. */
  'cpu-throttle-percentage': number;
  /** All pages of all rounds. */
  ram: RamStatistics & {
    /** Pages per second. */
    'dirty-pages-rate': number;
  };
}

/** What a live migration has done: rounds beside what every migration counts. */
export class LiveStatisticsCollector extends StatisticsCollector {
  rounds = 0;
  /** Pages scanned. */
  scanned = 0;
  lastRound: Round | undefined;
  downtime: number | undefined;
  throttled = 0;

  override get progress(): number {
    return super.progress + this.scanned;
  }

  override snapshot(): LiveStatistics {
    const plain = super.snapshot();
    const { lastRound } = this;
    const dirty = lastRound === undefined ? plain.ram.total : lastRound.dirty * this.pageSize;
    return {
      ...plain,
      'expected-downtime': lastRound?.['expected-downtime'] ?? null,
      downtime: this.downtime ?? null,
      'cpu-throttle-percentage': Math.round(this.throttled * 100),
      ram: {
        ...plain.ram,
        remaining: this.downtime === undefined ? dirty : 0,
        'dirty-sync-count': this.rounds,
        'dirty-pages-rate': lastRound?.['dirty-pages-rate'] ?? 0,
      },
    };
  }
}
