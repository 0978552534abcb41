import { IdleMeter, sleep, turn } from '../../util/timing.ts';

/** A thread that does less than this is free. */
const IDLE = 0.5;

/**
 * Shares a thread with the guest that lives in it: work in slices, and between them the guest's
 * turn. Time that passes while the thread waits for something is the guest's too.
 */
export class Slices {
  /** Milliseconds of work so far. */
  worked = 0;
  /** Milliseconds of waiting for what the work needs. */
  waited = 0;
  readonly #length: number;
  /** Milliseconds that the guest gets for each one of work. */
  readonly #ratio: number;
  #begun = performance.now();
  #own = 0;
  #others = 0;

  /**
   * @param length the most milliseconds of work in one go.
   * @param share of the thread's time that the work may take, up to 1: then others only get a turn.
   */
  constructor(length: number, share: number) {
    this.#length = length;
    this.#ratio = (1 - share) / share;
  }

  /** Others have had the thread until now. */
  begin(): void {
    this.#begun = performance.now();
  }

  /** Whether it is others' turn. */
  get over(): boolean {
    return this.#own + performance.now() - this.#begun >= this.#length;
  }

  /** Gives others their turn: as long as their share is, or until they have nothing to do. */
  async next(): Promise<void> {
    this.#pause();
    const since = performance.now();
    const left = (): number => this.#own * this.#ratio - this.#others - (performance.now() - since);
    // A timer may be a millisecond late, a turn of the event loop is not; but it would keep a
    // processor busy for nothing.
    if (left() < 1) await turn();
    for (let idle = false; !idle && left() >= 1; ) {
      const meter = new IdleMeter();
      await sleep(1);
      idle = meter.busy < IDLE;
    }
    this.#own = 0;
    this.#others = 0;
    this.#begun = performance.now();
  }

  /** Waits for something that the work needs. */
  async during<T>(needed: Promise<T>): Promise<T> {
    const since = performance.now();
    const result = await this.aside(needed);
    this.waited += performance.now() - since;
    return result;
  }

  /** Waits, and others have the thread. */
  async aside<T>(promise: Promise<T>): Promise<T> {
    this.#pause();
    const since = performance.now();
    try {
      return await promise;
    } finally {
      this.#begun = performance.now();
      this.#others += this.#begun - since;
    }
  }

  #pause(): void {
    const worked = performance.now() - this.#begun;
    this.#own += worked;
    this.worked += worked;
    this.#begun += worked;
  }
}
