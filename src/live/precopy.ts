import { MultifdError } from '../util/errors.ts';
import { inTime, LATE } from '../util/deadline.ts';
import type { RoundPlan, Step } from '../migration/outgoing/rounds.ts';
import type { SendPipeline } from '../migration/outgoing/pipeline.ts';
import type { Convergence } from './convergence.ts';
import type { LiveMemory } from './guest-memory.ts';
import type { CheckedGuest } from './guest-options.ts';
import type { CheckedLive } from './options.ts';
import type { ScanPlan, Scanner } from './scan/scanner.ts';
import type { Extent, PassCount } from './scan/pass.ts';
import type { LiveStatisticsCollector } from './statistics.ts';
import type { TrackerState } from './tracking/tracker.ts';

export interface PrecopyOptions {
  guest: CheckedGuest;
  checked: CheckedLive;
  statistics: LiveStatisticsCollector;
  convergence: Convergence;
  scan: ScanPlan;
  /** What each block has, in pages, and what of that the target holds already. */
  extents: readonly Extent[];
  /** The guest resumes in this process once its memory has been read. */
  resumesHere: boolean;
}

/**
 * One live migration's rounds: while the guest works, each of what has changed since the one
 * before; then the switch-over: the guest is stopped, and the last round has the rest. What fails
 * is rolled back by {@link resumeAfterFailure}.
 */
export class Precopy implements RoundPlan {
  readonly clients: number;
  readonly extraBytes: number;
  readonly lowPriority = true;
  /** Whether the guest was asked to stop. */
  stopped = false;
  /** Whether a block has grown further than the target can follow. */
  outgrown = false;
  readonly #options: PrecopyOptions;
  readonly #extents: Extent[];
  readonly #scanners: Scanner[] = [];
  #pipeline: SendPipeline | undefined;
  #stoppedAt = 0;

  constructor(options: PrecopyOptions) {
    this.#options = options;
    this.#extents = [...options.extents];
    this.clients = options.scan.clients;
    this.extraBytes = options.scan.bytes;
  }

  /**
   * The target holds all pages already as what was kept of them says: only those that have changed
   * since are sent.
   */
  trustAll(): void {
    for (const [block, { pages }] of this.#extents.entries())
      this.#extents[block] = { pages, known: pages };
  }

  async *steps(pipeline: SendPipeline): AsyncGenerator<Step, void, void> {
    const { guest, scan } = this.#options;
    this.#pipeline = pipeline;
    scan.start(pipeline, this.#scanners);
    for (;;) {
      await guest.check();
      yield* this.#grow();
      if (yield* this.#round()) {
        yield { kind: 'ready' };
        if (!this.#hasGrown()) break;
      }
    }
    await this.#switchOver();
    await guest.check();
    yield* this.#grow();
    yield {
      kind: 'last',
      work: async () => void (await this.#pass(false)),
      deviceState: () => guest.deviceState(),
    };
  }

  /** The guest's time of standing still ends here. */
  async arrived(): Promise<void> {
    const { resumesHere, statistics } = this.#options;
    statistics.downtime = performance.now() - this.#stoppedAt;
    if (!resumesHere) return;
    this.stopped = false;
    const stuck = await this.#goOn();
    if (stuck !== undefined) throw stuck;
  }

  /** Ends the scanners. @returns what they kept, by block number; of use only if all went well. */
  async end(): Promise<Map<number, TrackerState>> {
    const kept = new Map<number, TrackerState>();
    for (const part of await Promise.all(
      this.#scanners.splice(0).map((scanner) => scanner.end()),
    )) {
      for (const [block, own] of part) kept.set(block, merge(kept.get(block), own));
    }
    return kept;
  }

  /**
   * The roll-back: lets the guest go on as if nothing had been tried.
   * @returns why it may not do so; never rejects.
   */
  async resumeAfterFailure(): Promise<MultifdError | undefined> {
    return this.stopped ? this.#goOn() : this.#unthrottle();
  }

  async #goOn(): Promise<MultifdError | undefined> {
    const { guest, checked } = this.#options;
    // First of all: the program waits. One that never says that it goes on keeps the caller waiting
    // for no longer than anything else may.
    const stuck = await failureOf(
      'resume() failed, so that the program may not run any more',
      within(checked.timeout, guest.resume),
    );
    return stuck ?? (await this.#unthrottle());
  }

  async #unthrottle(): Promise<MultifdError | undefined> {
    const { guest, statistics, checked } = this.#options;
    if (statistics.throttled === 0 || guest.throttle === undefined) return undefined;
    const { throttle } = guest;
    return failureOf(
      'throttle(0) failed, so that the program may stay slow',
      within(checked.timeout, () => throttle(0)),
    );
  }

  /** @returns whether it is time to stop the guest. */
  async *#round(): AsyncGenerator<Step, boolean, void> {
    const { checked, statistics, convergence, guest } = this.#options;
    const begun = performance.now();
    let passed: { count: PassCount; active: number } | undefined;
    const work = async (): Promise<void> => {
      passed = await this.#pass(true);
    };
    yield { kind: 'round', work };
    const { count, active } = passed!;
    const duration = performance.now() - begun;
    const forecast = convergence.take({ count, duration, active });
    const decision = convergence.decide(forecast);
    statistics.rounds++;
    statistics.lastRound = {
      round: statistics.rounds,
      scanned: count.scanned,
      dirty: count.dirty,
      sent: count.dirty - count.zero,
      duration,
      'dirty-pages-rate': forecast.dirtyRate,
      'expected-downtime': forecast.expectedDowntime ?? null,
    };
    checked.onRound(statistics.lastRound);
    if (decision === 'throttle') {
      statistics.throttled = convergence.throttle;
      await guest.throttle?.(convergence.throttle);
    }
    if (decision === 'give up' && checked.onMaxRounds === 'fail') {
      const expected =
        forecast.expectedDowntime === undefined
          ? ''
          : `: the rest would still take ${Math.round(forecast.expectedDowntime)} ms`;
      throw new MultifdError(
        'ERR_NOT_CONVERGED',
        `after ${statistics.rounds} rounds the program changes its memory as fast as it is ` +
          `sent${expected}. Raise downtimeLimit, slow the program down, or stop it all the ` +
          'same by onMaxRounds',
      );
    }
    return decision === 'switch over' || decision === 'give up';
  }

  async #pass(live: boolean): Promise<{ count: PassCount; active: number }> {
    const { convergence } = this.#options;
    const results = await Promise.all(
      this.#scanners.map((scanner) =>
        scanner.pass({ extents: this.#extents, live, share: convergence.share }),
      ),
    );
    if (!this.#pipeline!.engine.group.arena.running())
      throw await this.#pipeline!.engine.group.whyNot();
    for (const [block, { pages }] of this.#extents.entries())
      this.#extents[block] = { pages, known: pages };
    const count: PassCount = { scanned: 0, dirty: 0, zero: 0 };
    for (const result of results)
      for (const key of ['scanned', 'dirty', 'zero'] as const) count[key] += result.count[key];
    return { count, active: Math.max(...results.map(({ active }) => active)) };
  }

  #hasGrown(): boolean {
    const { guest } = this.#options;
    return guest.blocks.some(
      ({ memory }, block) => lengthOf(memory) > this.#extents[block]!.pages * guest.pageSize,
    );
  }

  /** Follows memory that has grown. @throws what the target can't follow. */
  async *#grow(): AsyncGenerator<Step, void, void> {
    if (!this.#hasGrown()) return;
    const { guest } = this.#options;
    const lengths = guest.blocks.map(({ memory }) => lengthOf(memory));
    this.outgrown = true;
    // Left behind by a session that throws: then it has outgrown the target.
    yield { kind: 'resize', usedLengths: lengths };
    this.outgrown = false;
    for (const [block, { known }] of this.#extents.entries())
      this.#extents[block] = { pages: lengths[block]! / guest.pageSize, known };
  }

  /** From here on the guest is stopped. */
  async #switchOver(): Promise<void> {
    const { guest } = this.#options;
    this.stopped = true;
    this.#stoppedAt = performance.now();
    // A program that does not stop must not hold up a migration that has failed meanwhile.
    await this.#pipeline!.engine.group.race(Promise.resolve(guest.stop()));
  }
}

/** What became of a function of the caller's. */
async function failureOf(what: string, work: Promise<void>): Promise<MultifdError | undefined> {
  try {
    await work;
    return undefined;
  } catch (cause) {
    const { code, message } = MultifdError.from(cause);
    return new MultifdError(code, `${what}: ${message}`, { cause });
  }
}

/** @throws MultifdError ERR_TIMEOUT; what the work throws. */
async function within(milliseconds: number, work: () => void | Promise<void>): Promise<void> {
  if ((await inTime(Promise.resolve(work()), milliseconds)) !== LATE) return;
  throw new MultifdError(
    'ERR_TIMEOUT',
    `it has not come to its end within ${milliseconds / 1000} s`,
  );
}

/** Bytes of a block as it is now. */
export function lengthOf(memory: LiveMemory): number {
  return memory instanceof WebAssembly.Memory ? memory.buffer.byteLength : memory.byteLength;
}

function merge(one: TrackerState | undefined, other: TrackerState): TrackerState {
  if (one === undefined || one.method === 'bitmap' || other.method === 'bitmap') return other;
  return { ...other, segments: new Map([...one.segments, ...other.segments]) };
}
