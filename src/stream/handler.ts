import type { RamBlock } from './blocks.ts';
import type { StreamCommand } from './commands.ts';
import type { Configuration } from './configuration.ts';
import type { ByteReader, ByteSource } from './byte-reader.ts';
import type { OtherSection } from './other/section.ts';

/**
 * How the main stream and the multifd channels are paired: machine types from 8.1 on send a
 * MULTIFD_FLUSH word per round, older ones mean a flush at the end of each section.
 *
 * @inline
 */
export type SyncMode = 'per-round' | 'per-section';
export type RamSectionKind = 'start' | 'part' | 'end';

/**
 * What a parser tells about a main stream, in its order. Where a promise may come back, the parser
 * reads on only once it has resolved; that is what keeps zero pages, flushes and the channels in
 * order. Views of bytes are valid until then.
 */
export interface MainStreamHandler {
  configuration(configuration: Configuration): void | Promise<void>;
  command(command: StreamCommand): void | Promise<void>;
  /**
   * The next bytes, verbatim, of a section that is not "ram", with its header and footer; a section
   * may come in many pieces.
   */
  other(section: OtherSection, chunk: Uint8Array): void | Promise<void>;
  /**
   * The block list, once, before any page. `blockIndex` below counts in it.
   * @param pageSize bytes, if what has come so far tells it.
   */
  blocks(blocks: readonly RamBlock[], pageSize: number | undefined): void | Promise<void>;
  /**
   * Asked before the first page with content, where the stream has not told how long it is: the
   * bytes per page, if it is known from elsewhere. It is told by what follows the page otherwise.
   */
  pageSize?(): number | undefined | Promise<number | undefined>;
  /**
   * The same blocks again, of which some have become longer, between two rounds (`per-round` only).
   * The pages that are new are none before the next flush, which comes right after this.
   */
  resize(blocks: readonly RamBlock[]): void | Promise<void>;
  /**
   * A page of zeros at byte `offset` of the block. As long as the page size is not known, all that
   * has been checked is that the offset lies in the block.
   */
  zeroPage(blockIndex: number, offset: number): void | Promise<void>;
  /** A page's content, as many bytes as a page has. */
  page(blockIndex: number, offset: number, bytes: Uint8Array): void | Promise<void>;
  /** MULTIFD_FLUSH: each channel must reach its next SYNC before the stream goes on. */
  flush(): void | Promise<void>;
  /**
   * A section of "ram" ended; with `per-section` this asks for what {@link flush} asks for with
   * `per-round`.
   */
  endOfSection(kind: RamSectionKind, syncMode: SyncMode): void | Promise<void>;
  /**
   * Postcopy: pages in these bytes of the block have changed since they were sent, and come again.
   * Absent: such a stream is refused.
   */
  discard?(blockIndex: number, offset: number, length: number): void | Promise<void>;
  /**
   * Postcopy: the device sections have come ({@link tail} has had them), and the guest would run
   * from here on. Pages that are missing come until the end of "ram".
   * @param pings values of PING that the source wants answered, in order.
   * @param urgent reads the channel for urgent pages, if there is one, to its end; what comes there
   *   is told as well. It has words without sections.
   */
  packaged?(
    pings: readonly number[],
    urgent: (reader: ByteReader) => Promise<void>,
  ): void | Promise<void>;
  /**
   * Postcopy: the source has gone in the middle of it. Resolves with what it goes on with when it
   * has come back, at a record's beginning; rejects to give up.
   */
  reconnect?(lost: Error): Promise<ByteSource>;
  /** The next bytes, verbatim, of what follows the RAM: device sections, EOF, VMDESCRIPTION. */
  tail(chunk: Uint8Array): void | Promise<void>;
}
