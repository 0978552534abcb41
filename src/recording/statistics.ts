import type { ConnectionId } from './names.ts';

/** What has gone through the connections of a recording, into it or out of it. */
export interface RecordingStatistics {
  /** Milliseconds since the first connection. */
  'total-time': number;
  /** Bytes on all connections. */
  transferred: number;
  /** Bytes that all connections will have in the end; 0 where that is not known. */
  total: number;
  /** Bytes of the main channel. */
  'precopy-bytes': number;
  channels: { id: number; bytes: number }[];
}

/** Counts bytes by connection. */
export class Traffic {
  readonly #total: number;
  readonly #bytes = new Map<ConnectionId, number>();
  #started: number | undefined;
  #ended: number | undefined;

  constructor(total = 0) {
    this.#total = total;
  }

  /** A connection stands; the first one starts the clock. */
  open(identified: ConnectionId): void {
    this.#started ??= performance.now();
    this.#bytes.set(identified, 0);
  }

  add(identified: ConnectionId, bytes: number): void {
    this.#bytes.set(identified, this.#bytes.get(identified)! + bytes);
  }

  end(): void {
    this.#ended ??= performance.now();
  }

  get started(): boolean {
    return this.#started !== undefined;
  }

  /** Whole milliseconds since the first connection. */
  get milliseconds(): number {
    const now = this.#ended ?? performance.now();
    return Math.floor(now - (this.#started ?? now));
  }

  get transferred(): number {
    return [...this.#bytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  snapshot(): RecordingStatistics {
    const channels = [...this.#bytes].flatMap(([id, bytes]) =>
      id === 'main' ? [] : [{ id, bytes }],
    );
    return {
      'total-time': this.milliseconds,
      transferred: this.transferred,
      total: this.#total,
      'precopy-bytes': this.#bytes.get('main') ?? 0,
      channels: channels.sort((a, b) => a.id - b.id),
    };
  }
}
