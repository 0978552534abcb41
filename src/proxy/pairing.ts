import { WaitingConnections, type WaitingOptions } from '../transport/connection-queue.ts';
import type { Connection } from '../transport/connection.ts';

/** Pairs the connections of two sides in the order in which they come. */
export class Pairing {
  readonly #pair: (left: Connection, right: Connection) => void;
  readonly #left: WaitingConnections;
  readonly #right: WaitingConnections;

  /** @param waiting of either side: those that the other has none for yet. */
  constructor(pair: (left: Connection, right: Connection) => void, waiting: WaitingOptions) {
    this.#pair = pair;
    this.#left = new WaitingConnections(waiting);
    this.#right = new WaitingConnections(waiting);
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
