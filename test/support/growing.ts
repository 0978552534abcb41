import type { Compression } from 'multifd';
import { Source } from './peer.ts';
import type { Random } from './random.ts';
import {
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  memSize,
  openReturnPath,
  part,
  ramHeader,
  start,
  syncPacket,
  ZLIB,
  zeroPage,
  ZSTD,
} from './wire.ts';

const PAGE = 4096;
const PAGES_PER_PACKET = 128;

/** One channel's stream of compressed payloads, by hand: everything is stored as it is. */
class Packer {
  readonly #compression: Compression;
  #begun = false;

  constructor(compression: Compression) {
    this.#compression = compression;
  }

  pack(content: Uint8Array): Uint8Array {
    if (this.#compression === 'none') return content;
    const pieces: Uint8Array[] = [];
    if (!this.#begun)
      pieces.push(
        this.#compression === 'zlib'
          ? Uint8Array.of(0x78, 0x01)
          : Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 10 << 3),
      );
    this.#begun = true;
    for (let at = 0; at < content.length; at += 0x8000) {
      const piece = content.subarray(at, at + 0x8000);
      const { length } = piece;
      pieces.push(
        this.#compression === 'zlib'
          ? Uint8Array.of(0, length, length >> 8, ~length, ~length >> 8)
          : Uint8Array.of(length << 3, length >> 5, length >> 13),
        piece,
      );
    }
    return concat(...pieces);
  }
}

export interface GrowingBlock {
  id: string;
  /** Its content; as long as the block is. */
  bytes: Uint8Array;
}

/**
 * A source by hand, whose blocks grow between its rounds. It keeps what a target has to have in the
 * end.
 */
export class GrowingSource {
  readonly blocks: GrowingBlock[];
  readonly #source: Source;
  readonly #random: Random;
  readonly #compression: Compression;
  readonly #packers: Packer[];

  private constructor(
    source: Source,
    lengths: Readonly<Record<string, number>>,
    compression: Compression,
    random: Random,
  ) {
    this.#source = source;
    this.#random = random;
    this.#compression = compression;
    this.#packers = source.channels.map(() => new Packer(compression));
    this.blocks = Object.entries(lengths).map(([id, pages]) => ({
      id,
      bytes: new Uint8Array(pages * PAGE),
    }));
  }

  /** @param pages of each block at the beginning. */
  static async connect(
    uri: string,
    channels: number,
    pages: Readonly<Record<string, number>>,
    compression: Compression,
    random: Random,
  ): Promise<GrowingSource> {
    const growing = new GrowingSource(
      await Source.connect(uri, channels),
      pages,
      compression,
      random,
    );
    growing.#source.main.put(header(), openReturnPath(), start(growing.#list()));
    growing.#sync();
    growing.#source.main.put(endOfSection());
    return growing;
  }

  /**
   * A round: new content for some pages, all of them in the first one, and for whatever has grown
   * since the last.
   */
  round(before: Readonly<Record<string, number>> = {}): void {
    const { main } = this.#source;
    main.put(part());
    this.#pages(before);
    this.#sync();
    main.put(endOfSection());
  }

  /**
   * Makes blocks longer, by as many pages as `by` says, and sends what is new and some of the old
   * in the same section.
   */
  grow(by: Readonly<Record<string, number>>): void {
    const { main } = this.#source;
    const before = Object.fromEntries(this.blocks.map(({ id, bytes }) => [id, bytes.length]));
    for (const block of this.blocks)
      block.bytes = concat(block.bytes, new Uint8Array((by[block.id] ?? 0) * PAGE));
    main.put(part(), memSize(this.#list()));
    this.#sync();
    // The rest of the round can be in the section that told of it, or in the next.
    if (this.#random.chance(0.5)) main.put(endOfSection(), part());
    this.#pages(before);
    this.#sync();
    main.put(endOfSection());
  }

  /** The rest of the stream, and what the target says of it. */
  async finish(): Promise<Uint8Array> {
    const { main } = this.#source;
    main.put(end());
    this.#sync();
    main.put(endOfSection(), endOfFile());
    for (const wire of [...this.#source.channels, main]) wire.end();
    return Uint8Array.from(await main.rest());
  }

  close(): Promise<void> {
    return this.#source.close();
  }

  #list(): { id: string; length: number }[] {
    return this.blocks.map(({ id, bytes }) => ({ id, length: bytes.length }));
  }

  #sync(): void {
    this.#source.toAll(syncPacket());
    this.#source.main.put(flush());
  }

  /**
   * @param before how long the blocks were in the round before: what is behind that has to be sent.
   */
  #pages(before: Readonly<Record<string, number>>): void {
    const random = this.#random;
    for (const { id, bytes } of this.blocks) {
      const normal: number[] = [];
      const zero: number[] = [];
      for (let offset = 0; offset < bytes.length; offset += PAGE) {
        if (offset < (before[id] ?? 0) && random.chance(0.7)) continue;
        const page = bytes.subarray(offset, offset + PAGE).fill(0);
        if (random.chance(0.6)) page.set(random.bytes(PAGE));
        (page.some((byte) => byte !== 0) ? normal : zero).push(offset);
      }
      // Zero pages come either way.
      const onMain = zero.filter(() => random.chance(0.3));
      onMain.forEach((offset, index) =>
        this.#source.main.put(zeroPage(offset, index === 0 ? id : undefined)),
      );
      const inPackets = zero.filter((offset) => !onMain.includes(offset));
      while (normal.length + inPackets.length > 0) {
        const some = normal.splice(0, 1 + random.below(PAGES_PER_PACKET - 8));
        this.#packet(
          id,
          some,
          inPackets.splice(0, random.below(8) + (some.length === 0 ? 1 : 0)),
          bytes,
        );
      }
    }
  }

  #packet(block: string, normal: number[], zero: number[], bytes: Uint8Array): void {
    const channel = this.#random.below(this.#packers.length);
    const content =
      normal.length === 0
        ? new Uint8Array(0)
        : this.#packers[channel]!.pack(
            concat(...normal.map((offset) => bytes.subarray(offset, offset + PAGE))),
          );
    const flags = { none: 0, zlib: ZLIB, zstd: ZSTD }[this.#compression];
    this.#source.channels[channel]!.put(
      ramHeader({ flags, block, normal, zero, size: content.length }),
      content,
    );
  }
}
