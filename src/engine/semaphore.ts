/**
 * Waiting on shared words: a counting semaphore and a mutex, each usable from threads that may block (`wait`) and from those
 * that may not (`waitAsync`: a browser's main thread, workerd, anything with an event loop to keep alive).
 */

/** Added to a semaphore when the engine ends or fails: more than there can ever be waiters, so that none is left asleep. */
const FLOOD = 1 << 20;

/** Says whether a waiter may go on. Checked before each sleep and after each waking. */
export type Alive = () => boolean;

export class Semaphore {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #index: number;

  /** @param index the word's index; its value is the count. */
  constructor(words: Int32Array<SharedArrayBuffer>, index: number) {
    this.#words = words;
    this.#index = index;
  }

  /** Publishes everything this thread wrote before to whoever takes the count. */
  post(): void {
    Atomics.add(this.#words, this.#index, 1);
    Atomics.notify(this.#words, this.#index, 1);
  }

  /** Wakes every waiter, now and later: for an end or a failure that {@link Alive} then reports. */
  flood(): void {
    Atomics.add(this.#words, this.#index, FLOOD);
    Atomics.notify(this.#words, this.#index);
  }

  /** Takes one if there is one. */
  tryWait(): boolean {
    for (;;) {
      const count = Atomics.load(this.#words, this.#index);
      if (count <= 0) return false;
      if (Atomics.compareExchange(this.#words, this.#index, count, count - 1) === count) return true;
    }
  }

  /** Blocks until it takes one (true) or `alive` says no (false). */
  wait(alive: Alive): boolean {
    while (alive()) {
      if (this.tryWait()) return true;
      Atomics.wait(this.#words, this.#index, 0);
    }
    return false;
  }

  /** Blocks for at most `milliseconds`; whether it took one. */
  waitFor(alive: Alive, milliseconds: number): boolean {
    if (!alive()) return false;
    if (this.tryWait()) return true;
    Atomics.wait(this.#words, this.#index, 0, milliseconds);
    return alive() && this.tryWait();
  }

  /** As {@link wait}, without blocking the thread. */
  async waitAsync(alive: Alive): Promise<boolean> {
    while (alive()) {
      if (this.tryWait()) return true;
      const wait = Atomics.waitAsync(this.#words, this.#index, 0);
      if (wait.async) await wait.value;
    }
    return false;
  }
}

const FREE = 0;
const HELD = 1;
const CONTENDED = 2;

/** A mutex of one word. Whoever unlocks publishes what it wrote under the lock to the next holder. */
export class Mutex {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #index: number;

  constructor(words: Int32Array<SharedArrayBuffer>, index: number) {
    this.#words = words;
    this.#index = index;
  }

  tryLock(): boolean {
    return Atomics.compareExchange(this.#words, this.#index, FREE, HELD) === FREE;
  }

  lock(): void {
    if (this.tryLock()) return;
    while (Atomics.exchange(this.#words, this.#index, CONTENDED) !== FREE) Atomics.wait(this.#words, this.#index, CONTENDED);
  }

  async lockAsync(): Promise<void> {
    if (this.tryLock()) return;
    while (Atomics.exchange(this.#words, this.#index, CONTENDED) !== FREE) {
      const wait = Atomics.waitAsync(this.#words, this.#index, CONTENDED);
      if (wait.async) await wait.value;
    }
  }

  unlock(): void {
    if (Atomics.exchange(this.#words, this.#index, FREE) === CONTENDED) Atomics.notify(this.#words, this.#index, 1);
  }
}
