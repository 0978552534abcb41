import type { Connection } from '../transport/connection.ts';
import { WaitingLinks, type WaitingOptions } from '../transport/waiting-links.ts';

/** Pairs the connections of two sides in the order in which they come. */
export class Pairing {
  readonly #pair: (left: Connection, right: Connection) => void;
  readonly #left: WaitingLinks;
  readonly #right: WaitingLinks;

  /** @param waiting of either side: those that the other has none for yet. */
  constructor(pair: (left: Connection, right: Connection) => void, waiting: WaitingOptions) {
    this.#pair = pair;
    this.#left = new WaitingLinks(waiting);
    this.#right = new WaitingLinks(waiting);
  }

  left(connection: Connection): void {
    const other = this.#right.take();
    if (other === undefined) this.#left.add(connection);
    else this.#pair(connection, other);
  }

  right(connection: Connection): void {
    const other = this.#left.take();
    if (other === undefined) this.#right.add(connection);
    else this.#pair(other, connection);
  }

  close(): void {
    this.#left.close();
    this.#right.close();
  }
}
