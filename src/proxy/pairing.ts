import type { Link } from '../transport/connection.ts';
import { WaitingLinks, type WaitingOptions } from '../transport/waiting-links.ts';

/** Pairs the connections of two sides in the order in which they come. */
export class Pairing {
  readonly #pair: (left: Link, right: Link) => void;
  readonly #left: WaitingLinks;
  readonly #right: WaitingLinks;

  /** @param waiting of either side: those that the other has none for yet. */
  constructor(pair: (left: Link, right: Link) => void, waiting: WaitingOptions) {
    this.#pair = pair;
    this.#left = new WaitingLinks(waiting);
    this.#right = new WaitingLinks(waiting);
  }

  left(link: Link): void {
    const other = this.#right.take();
    if (other === undefined) this.#left.add(link);
    else this.#pair(link, other);
  }

  right(link: Link): void {
    const other = this.#left.take();
    if (other === undefined) this.#right.add(link);
    else this.#pair(other, link);
  }

  close(): void {
    this.#left.close();
    this.#right.close();
  }
}
