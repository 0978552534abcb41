import type { Link } from '../transport/link.ts';

/** Pairs the connections of two sides in the order in which they come. What waits and is given up meanwhile is left out. */
export class Pairing {
  readonly #pair: (left: Link, right: Link) => void;
  readonly #left: Link[] = [];
  readonly #right: Link[] = [];

  constructor(pair: (left: Link, right: Link) => void) {
    this.#pair = pair;
  }

  left(link: Link): void {
    const other = firstOpen(this.#right);
    if (other === undefined) this.#left.push(link);
    else this.#pair(link, other);
  }

  right(link: Link): void {
    const other = firstOpen(this.#left);
    if (other === undefined) this.#right.push(link);
    else this.#pair(other, link);
  }
}

function firstOpen(links: Link[]): Link | undefined {
  for (let link = links.shift(); link !== undefined; link = links.shift()) if (!link.closed) return link;
  return undefined;
}
