/**
 * One connection, both ways, over any transport: a socket, a pair of streams, a WebSocket, an HTTP
 * request and its response. Bytes only: where a transport has messages, their borders mean nothing.
 */
export interface Connection {
  /** Who is at the other end, for messages. */
  readonly peer: string;
  /** Whether this process makes the TLS on it. */
  readonly secure: boolean;
  /** What broke it, once something has. */
  readonly broken: Error | undefined;
  /** Whether what is written can still arrive. */
  readonly writable: boolean;
  /** Whether nothing goes either way any more. */
  readonly closed: boolean;
  /**
   * Whether all that the other end has said has been read, and it has said that nothing more comes.
   */
  readonly ended: boolean;
  /**
   * Calls `listener` when it breaks, or at once if it has; not when it just ends.
   * @returns what takes the listener back.
   */
  onBroken(listener: (cause: Error) => void): () => void;
  /**
   * Resolves with whether anything comes, once that is known: true when there is something to read,
   * which stays there; false when the other end has ended without, or nothing comes any more. For
   * one that is not being read yet; never resolves if a read begins meanwhile.
   */
  arrives(): Promise<boolean>;
  /**
   * The next bytes: at once, if they are here; undefined at the end, and when it has broken. One
   * call at a time.
   */
  read(): Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /**
   * Resolves once the memory may be used again.
   * @param onBytes called with each piece's length as it leaves.
   * @throws what broke it.
   */
  write(views: readonly Uint8Array[], onBytes: (bytes: number) => void): Promise<void>;
  /** Nothing more comes from here; the other end can still be read. */
  end(): void;
  /** Reads and discards, so that what the other end sends does not fill up. */
  drain(): void;
  /** Ends our half, flushes what was written, then closes. */
  finish(): Promise<void>;
  /**
   * Writes a last message, flushes, then closes. The other end has sent all that counts, or what it
   * sends does not count any more (`failed`).
   */
  closeWith(message: Uint8Array, failed: boolean): Promise<void>;
  /** Closes it now. */
  destroy(): void;
}

/**
 * Milliseconds that flushing the last message, and the other end's close, may take before a
 * connection is destroyed.
 */
export const CLOSE_MS = 1_000;

/**
 * Reading a connection into memory that is there already. Two kinds with one contract: a socket's
 * stream, for any runtime, and a raw descriptor, for worker threads (see
 * sockets/descriptor-input.ts).
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

/**
 * Writing a connection, in order. Two kinds with one contract: see connection-io.ts and
 * sockets/descriptor-output.ts.
 */
export interface Output {
  /** Writes many views in one call (writev): cheaper than one by one, without extra memory. */
  readonly gathers: boolean;
  /**
   * Resolves, or returns, once the memory may be used again.
   * @throws MultifdError ERR_PEER_CLOSED when the peer has gone.
   */
  write(views: readonly Uint8Array[]): void | Promise<void>;
}
