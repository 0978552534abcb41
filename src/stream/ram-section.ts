import { parseBlocks, parseGrownBlocks, type BlockLimits, type RamBlock } from './blocks.ts';
import type { ByteReader } from './byte-reader.ts';
import { isPageSize, RAM_WORD_ALIGNMENT, RamFlag } from './constants.ts';
import type { MainStreamHandler, RamSectionKind, SyncMode } from './handler.ts';
import { readName } from './names.ts';
import { pageSizeAhead } from './page-size.ts';

const TWO_TO_32 = 0x1_0000_0000;
/** High halves from here on make a word that a JavaScript number cannot hold exactly. */
const HIGH_LIMIT = 0x20_0000;

/**
 * One word of the content: `flags` in the low 10 bits, `value` the rest, an offset or a length in
 * bytes.
 */
interface Word {
  flags: number;
  value: number;
  /** Position in the stream. */
  at: number;
}

/**
 * The content of the sections "ram", from MEM_SIZE to the last EOS; keeps what lasts from one
 * section to the next.
 */
export class RamSection {
  readonly #reader: ByteReader;
  readonly #handler: MainStreamHandler;
  readonly #limits: () => BlockLimits;
  readonly #indexes = new Map<string, number>();
  #blocks: readonly RamBlock[] | undefined;
  #pageSize: number | undefined;
  #page: Uint8Array | undefined;
  #sectionId = 0;
  /** The block that CONTINUE means. */
  #current: number | undefined;
  #syncMode: SyncMode = 'per-section';
  /** Blocks have grown, and the flush that lets the channels know has not come yet. */
  #unflushed = false;
  /** Postcopy: from here on there are pages, and no flushes, up to the end of "ram". */
  postcopy = false;
  #isUrgent = false;

  /** @param limits asked for at each block list: what came before it counts. */
  constructor(reader: ByteReader, handler: MainStreamHandler, limits: () => BlockLimits) {
    this.#reader = reader;
    this.#handler = handler;
    this.#limits = limits;
  }

  /** The block list; undefined before it has come. */
  get blocks(): readonly RamBlock[] | undefined {
    return this.#blocks;
  }

  /** Certain once the START section has been read. */
  get syncMode(): SyncMode {
    return this.#syncMode;
  }

  /**
   * Reads one section's content, be64 words and what belongs to them, up to and with its EOS.
   *
   *     MEM_SIZE | total bytes                  then the block list; in a PART: of blocks
   *                                             that have grown, and a flush is next
   *     ZERO | offset,  u8 length, id,  00      no id with CONTINUE
   *     PAGE | offset,  u8 length, id,  page    no id with CONTINUE
   *     MULTIFD_FLUSH
   *     EOS
   */
  async parse(kind: RamSectionKind, sectionId: number): Promise<void> {
    const reader = this.#reader;
    this.#sectionId = sectionId;
    const word: Word = { flags: 0, value: 0, at: 0 };
    for (;;) {
      const buffered = reader.ensure(8);
      if (buffered !== undefined) await buffered;
      this.#take(word);
      if (this.#unflushed && word.flags !== RamFlag.MULTIFD_FLUSH) {
        throw reader.error(
          'ERR_STREAM',
          'a MULTIFD_FLUSH has to come right after the MEM_SIZE of blocks that have grown',
          word.at,
        );
      }
      switch (word.flags) {
        case RamFlag.ZERO:
        case RamFlag.ZERO | RamFlag.CONTINUE: {
          const parsed = this.#zeroPage(word);
          if (parsed !== undefined) await parsed;
          break;
        }
        case RamFlag.PAGE:
        case RamFlag.PAGE | RamFlag.CONTINUE:
          await this.#normalPage(word);
          break;
        case RamFlag.MULTIFD_FLUSH:
          this.#refuseIn(word, 'a MULTIFD_FLUSH');
          this.#refuseValue(word);
          if (this.#blocks === undefined)
            throw reader.error('ERR_STREAM', 'a MULTIFD_FLUSH before the block list', word.at);
          if (kind === 'start') this.#syncMode = 'per-round';
          this.#unflushed = false;
          if (!this.postcopy) await this.#handler.flush();
          break;
        case RamFlag.EOS:
          this.#refuseValue(word);
          if (this.#blocks === undefined)
            throw reader.error('ERR_STREAM', 'the START section has no MEM_SIZE', word.at);
          if (!this.#isUrgent) await this.#handler.endOfSection(kind, this.#syncMode);
          return;
        case RamFlag.MEM_SIZE:
          await (this.#blocks === undefined
            ? this.#memSize(word)
            : this.#resize(word, kind, this.#blocks));
          break;
        default:
          this.#refuseFlags(word);
      }
    }
  }

  #take(word: Word): void {
    const reader = this.#reader;
    word.at = reader.position;
    const high = reader.u32();
    const low = reader.u32();
    if (high >= HIGH_LIMIT) throw reader.error('ERR_STREAM', 'a RAM word is beyond 2^53', word.at);
    word.flags = low % RAM_WORD_ALIGNMENT;
    word.value = high * TWO_TO_32 + (low - word.flags);
  }

  /**
   * Words of another connection, about the same blocks: postcopy's channel for urgent pages, which
   * has no sections, and ends with an EOS.
   */
  beside(reader: ByteReader): RamSection {
    const section = new RamSection(reader, this.#handler, this.#limits);
    section.#blocks = this.#blocks;
    section.#pageSize = this.#pageSize;
    section.postcopy = true;
    section.#isUrgent = true;
    for (const [id, index] of this.#indexes) section.#indexes.set(id, index);
    return section;
  }

  async #memSize(word: Word): Promise<void> {
    const limits = this.#limits();
    this.#pageSize = limits.pageSize;
    const blocks = await parseBlocks(this.#reader, word.value, limits);
    blocks.forEach(({ id }, index) => this.#indexes.set(id, index));
    this.#pageSize ??= blocks.find(({ mapped }) => mapped !== undefined)?.mapped?.pageSize;
    this.#blocks = blocks;
    await this.#handler.blocks(blocks, this.#pageSize);
  }

  /** The index of the block of that name. @throws MultifdError ERR_BLOCK if there is none. */
  indexOf(id: string, at: number): number {
    const index = this.#indexes.get(id);
    if (index === undefined)
      throw this.#reader.error('ERR_BLOCK', `the block ${id} is not known`, at);
    return index;
  }

  /**
   * Between two rounds blocks may grow. Without a flush per round nothing would tell where the
   * round before ends.
   */
  async #resize(word: Word, kind: RamSectionKind, before: readonly RamBlock[]): Promise<void> {
    this.#refuseIn(word, 'a second MEM_SIZE');
    if (kind !== 'part' || this.#syncMode !== 'per-round') {
      throw this.#reader.error(
        'ERR_STREAM',
        'a second MEM_SIZE, which only a PART section of a stream with a MULTIFD_FLUSH per ' +
          'round may have',
        word.at,
      );
    }
    this.#pageSize ??= await this.#handler.pageSize?.();
    const limits = { ...this.#limits(), pageSize: this.#pageSize };
    const blocks = await parseGrownBlocks(this.#reader, word.value, limits, before);
    await this.#handler.resize(blocks);
    this.#blocks = blocks;
    this.#unflushed = true;
  }

  /**
   * Synchronous as long as everything is buffered: a source without multifd's zero pages sends
   * millions of these.
   */
  #zeroPage(word: Word): void | Promise<void> {
    this.#refuseIn(word, 'a zero page');
    if ((word.flags & RamFlag.CONTINUE) === 0 || this.#reader.buffered === 0)
      return this.#zeroPageSlowly(word);
    return this.#fillByte(word);
  }

  async #zeroPageSlowly(word: Word): Promise<void> {
    await this.#selectBlock(word);
    await this.#reader.ensure(1);
    await this.#fillByte(word);
  }

  #fillByte(word: Word): void | Promise<void> {
    const block = this.#checkPage(word);
    const fill = this.#reader.u8();
    if (fill !== 0)
      throw this.#reader.error('ERR_STREAM', `a zero page is filled with ${fill}`, word.at);
    return this.#handler.zeroPage(block, word.value);
  }

  async #normalPage(word: Word): Promise<void> {
    this.#refuseIn(word, 'a page');
    await this.#selectBlock(word);
    this.#pageSize ??= await this.#settlePageSize(word);
    const block = this.#checkPage(word);
    this.#page ??= new Uint8Array(this.#pageSize);
    await this.#reader.copyInto(this.#page);
    await this.#handler.page(block, word.value, this.#page);
  }

  /**
   * Nothing in the stream before has told how long a page is.
   * @throws MultifdError ERR_STREAM if what follows the page tells it neither.
   */
  async #settlePageSize(word: Word): Promise<number> {
    const known = await this.#handler.pageSize?.();
    if (known !== undefined) return known;
    const names = [...this.#indexes.keys()];
    const found = await pageSizeAhead(this.#reader, word.value, names, this.#sectionId);
    if (isPageSize(found)) return found;
    throw this.#reader.error(
      'ERR_STREAM',
      'how long the pages are cannot be told from the stream: give the page size',
      word.at,
    );
  }

  async #selectBlock(word: Word): Promise<void> {
    if ((word.flags & RamFlag.CONTINUE) !== 0) return;
    const id = await readName(this.#reader, 'a RAM block', 'ERR_BLOCK');
    this.#current = this.indexOf(id, word.at);
  }

  /** The index of the block the word means, once its offset is known to lie inside. */
  #checkPage(word: Word): number {
    const block = this.#current === undefined ? undefined : this.#blocks?.[this.#current];
    if (this.#current === undefined || block === undefined) {
      throw this.#reader.error('ERR_STREAM', 'a CONTINUE flag before any block was named', word.at);
    }
    const pageSize = this.#pageSize ?? RAM_WORD_ALIGNMENT;
    if (word.value % pageSize !== 0 || word.value + pageSize > block.usedLength) {
      const other =
        word.value % pageSize !== 0
          ? '; or its pages are smaller: give their size as page size'
          : '';
      throw this.#reader.error(
        'ERR_PAGE_OFFSET',
        `a page at ${word.value} of the block ${block.id} is not on a ${pageSize}-byte ` +
          `boundary within its ${block.usedLength} bytes${other}`,
        word.at,
      );
    }
    return this.#current;
  }

  /** In a mapped-ram file pages are where the block list says, and nothing is synchronised. */
  #refuseIn(word: Word, what: string): void {
    if (this.#limits().mappedRam)
      throw this.#reader.error('ERR_STREAM', `${what} in the stream of a mapped-ram file`, word.at);
  }

  #refuseValue(word: Word): void {
    if (word.value !== 0)
      throw this.#reader.error(
        'ERR_STREAM',
        `a RAM word without a page has the offset ${word.value}`,
        word.at,
      );
  }

  #refuseFlags({ flags, at }: Word): never {
    const other = flags & ~RamFlag.CONTINUE;
    const unsupported: ReadonlyArray<readonly [number, string]> = [
      [RamFlag.XBZRLE, 'XBZRLE-encoded pages'],
      [RamFlag.HOOK, 'RDMA'],
      [RamFlag.COMPRESS_PAGE, 'the old page compression'],
    ];
    for (const [flag, what] of unsupported) {
      if (other === flag) {
        throw this.#reader.error(
          'ERR_UNSUPPORTED',
          `the source uses ${what}, which is not supported; turn it off at the source`,
          at,
        );
      }
    }
    throw this.#reader.error(
      'ERR_STREAM',
      `a RAM word has the flags 0x${flags.toString(16)}, which mean nothing`,
      at,
    );
  }
}
