/**
 * Waiting in memory that no other thread sees. Whoever waits there and whoever wakes are tasks of
 * one thread, so promises do: Atomics.waitAsync takes shared memory only, and some runtimes lack it
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
