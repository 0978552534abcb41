/**
 * Waiting on shared words: a counting semaphore and a mutex, each usable from threads that may
 * block (`wait`, `lock`) and from those that may not (`waitAsync`, `lockAsync`: a browser's main
 * thread, workerd, anything with an event loop to keep alive). In memory that is not shared only
 * the latter work, by {@link PromiseWaiters}.
 */

import { staying } from '../util/timing.ts';

/** The words of an arena. */
export type Words = Int32Array<ArrayBufferLike>;

/**
 * Added to a semaphore when the engine ends or fails: more than there can ever be waiters, so that
 * none is left asleep.
 */
const RELEASE_ALL = 1 << 20;

/**
 * Spin count before Atomics.wait: a few microseconds, about what sleeping and being woken cost.
 * Where payloads take no longer than that, a swap takes a sixth of the time.
 */
const SPINS = 1000;

/** Says whether a waiter may go on. Checked before each sleep and after each waking. */
export type Alive = () => boolean;

export class Semaphore {
  readonly #words: Words;
  readonly #index: number;
  readonly #waiters: PromiseWaiters | undefined;

  /**
   * @param index the word's index; its value is the count.
   * @param waiters for words that are not shared.
   */
  constructor(words: Words, index: number, waiters?: PromiseWaiters) {
    this.#words = words;
    this.#index = index;
    this.#waiters = waiters;
  }

  /** Publishes everything this thread wrote before to the thread that takes the count. */
  post(): void {
    Atomics.add(this.#words, this.#index, 1);
    wake(this.#words, this.#index, this.#waiters, 1);
  }

  /**
   * Wakes every waiter, now and later: for an end or a failure that {@link Alive} reports from
   * before this call on.
   */
  releaseAll(): void {
    Atomics.add(this.#words, this.#index, RELEASE_ALL);
    wake(this.#words, this.#index, this.#waiters);
  }

  /** Takes one if there is one. @returns false as well when `alive` says no. */
  tryWait(alive: Alive): boolean {
    // Asked after the taking: what was taken may be of releaseAll(), and stands for nothing then.
    return this.#take() && alive();
  }

  /** Blocks until it takes one (true) or `alive` says no (false). */
  wait(alive: Alive): boolean {
    while (alive()) {
      if (this.#take()) return alive();
      spin(this.#words, this.#index, 0);
      Atomics.wait(this.#words as Int32Array<SharedArrayBuffer>, this.#index, 0);
    }
    return false;
  }

  /** Blocks for at most `milliseconds`; whether it took one. */
  waitFor(alive: Alive, milliseconds: number): boolean {
    if (this.tryWait(alive)) return true;
    if (!alive()) return false;
    Atomics.wait(this.#words as Int32Array<SharedArrayBuffer>, this.#index, 0, milliseconds);
    return this.tryWait(alive);
  }

  /**
   * As {@link wait}, without blocking the thread.
   * @param stays whether the program stays for it, as for anything else that it waits for.
   */
  async waitAsync(alive: Alive, stays = true): Promise<boolean> {
    while (alive()) {
      if (this.#take()) return alive();
      await change(this.#words, this.#index, 0, this.#waiters, stays);
    }
    return false;
  }

  #take(): boolean {
    for (;;) {
      const count = Atomics.load(this.#words, this.#index);
      if (count <= 0) return false;
      if (Atomics.compareExchange(this.#words, this.#index, count, count - 1) === count)
        return true;
    }
  }
}

/**
 * Waits, without blocking the thread, until the word may have become another than `value`.
 * @param stays see {@link staying}.
 */
function change(
  words: Words,
  index: number,
  value: number,
  waiters: PromiseWaiters | undefined,
  stays: boolean,
): Promise<unknown> | undefined {
  const asleep = sleep(words, index, value, waiters);
  return asleep !== undefined && stays ? staying(asleep) : asleep;
}

/** @returns undefined when the word is another already. */
function sleep(
  words: Words,
  index: number,
  value: number,
  waiters: PromiseWaiters | undefined,
): Promise<unknown> | undefined {
  if (waiters !== undefined) return words[index] === value ? waiters.sleep(index) : undefined;
  const wait = Atomics.waitAsync(words as Int32Array<SharedArrayBuffer>, index, value);
  return wait.async ? wait.value : undefined;
}

function wake(
  words: Words,
  index: number,
  waiters: PromiseWaiters | undefined,
  count?: number,
): void {
  if (waiters === undefined) Atomics.notify(words as Int32Array<SharedArrayBuffer>, index, count);
  else waiters.wake(index, count);
}

/** Returns when the word is not `value` any more, or after {@link SPINS} loads. */
function spin(words: Words, index: number, value: number): void {
  for (let n = 0; n < SPINS && Atomics.load(words, index) === value; n++);
}

/** Bits of a mutex's word. Either of the first two: it is locked. */
const FREE = 0;
const HELD = 1;
/** A waiter sleeps until it is free, or did. */
const WANTED = 2;
/** wakeAll() was called: a word that changes is the only thing that no waiter can miss. */
const ALL_WOKEN = 4;

/**
 * A mutex of one word. Unlocking publishes what was written under the lock to the next holder. A
 * holder that dies never unlocks: waiters give up when `alive` says no and {@link wakeAll} has been
 * called.
 */
export class Mutex {
  readonly #words: Words;
  readonly #index: number;
  readonly #waiters: PromiseWaiters | undefined;

  /** @param waiters for words that are not shared. */
  constructor(words: Words, index: number, waiters?: PromiseWaiters) {
    this.#words = words;
    this.#index = index;
    this.#waiters = waiters;
  }

  /** Blocks until it has the lock (true) or `alive` says no (false). */
  lock(alive: Alive): boolean {
    if (alive() && this.#tryLock()) return true;
    while (alive()) {
      const seen = this.#claim();
      if (seen === FREE) return true;
      // all were woken before it was claimed: `seen` would not show that anything has changed
      if (!alive()) return false;
      Atomics.wait(this.#words as Int32Array<SharedArrayBuffer>, this.#index, seen);
    }
    return false;
  }

  /** As {@link lock}, without blocking the thread. */
  async lockAsync(alive: Alive): Promise<boolean> {
    if (alive() && this.#tryLock()) return true;
    while (alive()) {
      const seen = this.#claim();
      if (seen === FREE) return true;
      if (!alive()) return false;
      await change(this.#words, this.#index, seen, this.#waiters, true);
    }
    return false;
  }

  unlock(): void {
    if ((Atomics.and(this.#words, this.#index, ALL_WOKEN) & WANTED) !== 0)
      wake(this.#words, this.#index, this.#waiters, 1);
  }

  /**
   * Makes every waiter ask its `alive` again, which is for ever false from before the first such
   * call on.
   */
  wakeAll(): void {
    Atomics.or(this.#words, this.#index, ALL_WOKEN);
    wake(this.#words, this.#index, this.#waiters);
  }

  #tryLock(): boolean {
    return Atomics.compareExchange(this.#words, this.#index, FREE, HELD) === FREE;
  }

  /**
   * Takes it as WANTED, since others may be asleep besides the one that was woken: at worst its
   * unlock wakes no thread.
   * @returns FREE: it is ours now; else the word to sleep on.
   */
  #claim(): number {
    const seen = Atomics.or(this.#words, this.#index, WANTED);
    return (seen & (HELD | WANTED)) === 0 ? FREE : seen | WANTED;
  }
}

/**
 * Waiting in memory that no other thread sees. Waiters and those that wake them are tasks of one
 * thread, so promises do: Atomics.waitAsync takes shared memory only, and some runtimes lack it
 * or can't use it.
 */
export class PromiseWaiters {
  /** By word. */
  readonly #asleep = new Map<number, (() => void)[]>();

  /** Resolves at the next {@link wake} that gets to it. */
  sleep(word: number): Promise<void> {
    return new Promise((resolve) => {
      const others = this.#asleep.get(word);
      if (others === undefined) this.#asleep.set(word, [resolve]);
      else others.push(resolve);
    });
  }

  /** Wakes those who have slept longest, at most `count`. */
  wake(word: number, count = Number.POSITIVE_INFINITY): void {
    const asleep = this.#asleep.get(word);
    if (asleep === undefined) return;
    for (const resolve of asleep.splice(0, count)) resolve();
    if (asleep.length === 0) this.#asleep.delete(word);
  }
}
