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
