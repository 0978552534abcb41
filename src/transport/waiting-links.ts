import type { Link } from './connection.ts';

export interface WaitingOptions {
  /** At a time. */
  most: number;
  /** Milliseconds that each may wait. */
  maxWait: number;
  /** Called with one that was dropped, and why; it is closed by then. */
  onDropped(link: Link, why: string): void;
}

/** Milliseconds that a connection may wait, where nobody says something else. */
export const MAX_WAIT_MS = 600_000;

/**
 * Connections that wait for somebody who takes them, in the order in which they came. Nobody reads
 * them, and still each counts only as long as it is of use: one that has ended without a byte, has
 * broken, or has waited for too long is dropped. One that has said something and ended its half is
 * kept, for that may be all it has to say.
 */
export class WaitingLinks {
  readonly #options: WaitingOptions;
  /** With what ends looking after each. */
  readonly #waiting = new Map<Link, () => void>();

  constructor(options: WaitingOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.size;
  }

  get full(): boolean {
    return this.#waiting.size >= this.#options.most;
  }

  /** Nothing may have been read of it, or be about to be. */
  add(link: Link): void {
    const { maxWait } = this.#options;
    const late = `nobody took it within ${maxWait / 1000} s`;
    const timer = setTimeout(() => this.#drop(link, late), maxWait);
    // Whoever waits in vain is no reason to go on, where a runtime asks for one.
    (timer as { unref?: () => void }).unref?.();
    let forget = (): void => {};
    this.#waiting.set(link, () => {
      clearTimeout(timer);
      forget();
    });
    forget = link.onBroken(({ message }) => this.#drop(link, `it broke: ${message}`));
    void link.arrives().then((something) => {
      if (!something) this.#drop(link, 'it ended before it said anything');
    });
  }

  /** The first of them: it is not looked after any more. */
  take(): Link | undefined {
    for (const link of this.#waiting.keys()) {
      this.#release(link);
      if (!link.closed) return link;
    }
    return undefined;
  }

  takeAll(): Link[] {
    const links = [...this.#waiting.keys()];
    for (const link of links) this.#release(link);
    return links.filter((link) => !link.closed);
  }

  /** Closes them all, without a word. */
  close(): void {
    for (const link of this.takeAll()) link.destroy();
  }

  #drop(link: Link, why: string): void {
    if (!this.#release(link)) return;
    link.destroy();
    this.#options.onDropped(link, why);
  }

  /** @returns whether it was still waiting. */
  #release(link: Link): boolean {
    this.#waiting.get(link)?.();
    return this.#waiting.delete(link);
  }
}
