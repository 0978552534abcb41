/**
 * One channel's outgoing stream, for the whole migration: flushed after each packet, never ended.
 */
export interface Encoder {
  /**
   * Compresses one packet's pages and flushes.
   * @param pages a private copy: it must not change until the promise resolves.
   * @returns the packet's payload, in pieces.
   */
  encode(pages: Uint8Array): Promise<readonly Uint8Array[]>;
  /**
   * The same of pages that stay where they are, in pieces, where the codec reads each byte once: it
   * may change meanwhile.
   */
  encodeInPlace?(pages: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
  close(): void;
}

/** The incoming counterpart of {@link Encoder}. */
export interface Decoder {
  /**
   * Decompresses one packet's payload.
   * @param into filled exactly: its length is what the packet's page count says.
   * @throws MultifdError ERR_DECOMPRESS for broken data, and when it yields more or less than
   *   `into` holds; memory use stays bounded either way.
   */
  decode(payload: Uint8Array, into: Uint8Array): Promise<void>;
  /**
   * The same, into pieces: where the pages belong. Only for memory that stays where it is
   * meanwhile.
   */
  decodeInPlace?(payload: Uint8Array, into: readonly Uint8Array[]): Promise<void>;
  close(): void;
}

export interface CodecLevels {
  /** 0 to 9; QEMU's default is 1. */
  zlibLevel: number;
  /** 1 to 20, as QEMU allows; its default is 1. */
  zstdLevel: number;
}

/** One compression method on one kind of runtime. */
export interface Codec {
  /**
   * @param ownThread whether the channel has a thread of its own.
   * @throws MultifdError ERR_CODEC when this runtime can't encode it there.
   */
  encoder(levels: CodecLevels, ownThread: boolean): Encoder | Promise<Encoder>;
  decoder(ownThread: boolean): Decoder | Promise<Decoder>;
}
