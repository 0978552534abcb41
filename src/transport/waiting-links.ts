import type { Connection } from './connection.ts';

export interface WaitingOptions {
  /** At a time. */
  most: number;
  /** Milliseconds that each may wait. */
  maxWait: number;
  /** Called with one that was dropped, and why; it is closed by then. */
  onDropped(connection: Connection, why: string): void;
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
  readonly #waiting = new Map<Connection, () => void>();

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
  add(connection: Connection): void {
    const { maxWait } = this.#options;
    const late = `nobody took it within ${maxWait / 1000} s`;
    const timer = setTimeout(() => this.#drop(connection, late), maxWait);
    // Whoever waits in vain is no reason to go on, where a runtime asks for one.
    (timer as { unref?: () => void }).unref?.();
    let forget = (): void => {};
    this.#waiting.set(connection, () => {
      clearTimeout(timer);
      forget();
    });
    forget = connection.onBroken(({ message }) => this.#drop(connection, `it broke: ${message}`));
    void connection.arrives().then((something) => {
      if (!something) this.#drop(connection, 'it ended before it said anything');
    });
  }

  /** The first of them: it is not looked after any more. */
  take(): Connection | undefined {
    for (const connection of this.#waiting.keys()) {
      this.#release(connection);
      if (!connection.closed) return connection;
    }
    return undefined;
  }

  takeAll(): Connection[] {
    const connections = [...this.#waiting.keys()];
    for (const connection of connections) this.#release(connection);
    return connections.filter((connection) => !connection.closed);
  }

  /** Closes them all, without a word. */
  close(): void {
    for (const connection of this.takeAll()) connection.destroy();
  }

  #drop(connection: Connection, why: string): void {
    if (!this.#release(connection)) return;
    connection.destroy();
    this.#options.onDropped(connection, why);
  }

  /** @returns whether it was still waiting. */
  #release(connection: Connection): boolean {
    this.#waiting.get(connection)?.();
    return this.#waiting.delete(connection);
  }
}
