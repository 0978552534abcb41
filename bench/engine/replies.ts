/** One shared word that counts what the other thread has done: how it says so in round trips. */
export class Replies {
  readonly words: Int32Array<SharedArrayBuffer>;

  constructor(buffer = new SharedArrayBuffer(4)) {
    this.words = new Int32Array(buffer);
  }

  give(): void {
    Atomics.add(this.words, 0, 1);
    Atomics.notify(this.words, 0);
  }

  /** Looks a while before it sleeps. */
  await(count: number): void {
    for (let look = 0; look < 1000; look++) if (Atomics.load(this.words, 0) >= count) return;
    for (let seen: number; (seen = Atomics.load(this.words, 0)) < count; )
      Atomics.wait(this.words, 0, seen);
  }
}

/** Of round trips, in microseconds. */
export function roundTripSample(milliseconds: Float64Array): {
  µs: number;
  'µs, 99 of 100': number;
} {
  const sorted = milliseconds.toSorted();
  return {
    µs: sorted[sorted.length >> 1]! * 1000,
    'µs, 99 of 100': sorted[Math.floor(sorted.length * 0.99)]! * 1000,
  };
}
