/**
 * Reading a connection into memory that is there already. Two kinds with one contract: a socket's
 * stream, for any runtime, and a raw descriptor, for worker threads (see descriptor-input.ts).
 */
export interface Input {
  /** Bytes read so far: the offset in the connection's stream. */
  readonly offset: number;
  /**
   * Fills every view, in order.
   * @returns false when the stream ended, or reading was stopped, before the first byte.
   * @throws MultifdError ERR_PEER_CLOSED when the stream ends after the first byte, or the
   *   connection was reset.
   */
  fill(views: readonly Uint8Array[]): boolean | Promise<boolean>;
  /** Makes a fill that is waiting, and all later ones, return false. */
  stop(): void;
}
