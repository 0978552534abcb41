/** The least that is on its way, in bytes: below, the way there and back would count. */
const LEAST = 64 * 1024;
const MOST = 64 * 1024 * 1024;
/** How much later than it could an answer may come, in milliseconds. */
const DELAY_MS = 1;
/** The same, for a target that has asked for nothing for {@link CALM_MS}. */
const CALM_DELAY_MS = 50;
const CALM_MS = 100;

/**
 * How much of what nobody has asked for may be on its way: as much as the way takes, and little
 * more, since what is asked for comes behind it. Told by how long the target takes to answer a
 * PING behind each piece.
 */
export class PostcopyWindow {
  #bytes = 8 * LEAST;
  #onItsWay = 0;
  #shortest = Number.POSITIVE_INFINITY;
  #asked = Number.NEGATIVE_INFINITY;
  readonly #pings = new Map<number, { bytes: number; at: number }>();

  get open(): boolean {
    return this.#onItsWay < this.#bytes;
  }

  /** The target has asked for something. */
  asked(): void {
    this.#asked = performance.now();
  }

  /** Whether it has, lately. */
  get busy(): boolean {
    return performance.now() - this.#asked < CALM_MS;
  }

  /** So many bytes have left, with that PING behind them. */
  sent(ping: number, bytes: number): void {
    this.#pings.set(ping, { bytes, at: performance.now() });
    this.#onItsWay += bytes;
  }

  /** @returns whether it was the answer to one of {@link sent}. */
  answered(ping: number): boolean {
    const sent = this.#pings.get(ping);
    if (sent === undefined) return false;
    this.#pings.delete(ping);
    this.#onItsWay -= sent.bytes;
    const took = performance.now() - sent.at;
    this.#shortest = Math.min(this.#shortest, took);
    const late = took - this.#shortest > (this.busy ? DELAY_MS : CALM_DELAY_MS);
    this.#bytes = late
      ? Math.max(LEAST, this.#bytes * 0.8)
      : Math.min(MOST, this.#bytes + sent.bytes / 4);
    return true;
  }
}
