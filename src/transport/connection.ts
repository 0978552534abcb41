/**
 * One connection, both ways, whatever carries it: a socket, a pair of streams, a WebSocket, an HTTP
 * request and its response. Bytes only: where a carrier has messages, their borders mean nothing.
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
   * one that nobody reads yet; never resolves if somebody begins to meanwhile.
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
  /** Reads on, to nowhere: what the other end says must not fill up. */
  drain(): void;
  /** Ends our half, sees off what was written, and closes. */
  finish(): Promise<void>;
  /**
   * Says a last message and sees it off; the other end has said all that counts, or that does not
   * count any more (`failed`).
   */
  closeWith(message: Uint8Array, failed: boolean): Promise<void>;
  /** Closes it now. */
  destroy(): void;
}

/**
 * How long the last message may take to leave, and the other end to hang up, before a connection is
 * cut.
 */
export const CLOSE_MS = 1_000;

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

/**
 * Writing a connection, in order. Two kinds with one contract: see link-output.ts and
 * node/descriptor-output.ts.
 */
export interface Output {
  /** Many packets at once cost it less than one by one, and no memory. */
  readonly gathers: boolean;
  /**
   * Resolves, or returns, once the memory may be used again.
   * @throws MultifdError ERR_PEER_CLOSED when the peer has gone.
   */
  write(views: readonly Uint8Array[]): void | Promise<void>;
}
