import {
  blockTable,
  COMPRESSION,
  COMPRESSION_MASK,
  COMPRESSION_SHIFT,
  DEVICE_STATE_INFO,
  DEVICE_STATE_LENGTH,
  FLAG_DEVICE_STATE,
  FLAG_SYNC,
  INITIAL_LENGTH,
  instantiateCore,
  NO_BLOCK,
  packetError,
  pagesPerPacket,
  RAM,
  RAM_INFO,
  ramHeaderLength,
  type CoreExports,
} from '../core/index.ts';
import { MultifdError } from '../util/errors.ts';
import type { RamBlock } from '../stream/index.ts';
import type { RecordedFile } from './recording.ts';

/** What one packet holds. */
interface PacketReport {
  kind: 'ram' | 'device-state';
  sync: boolean;
  /** Index in the block list; undefined for a packet without pages. */
  block: number | undefined;
  /** Pages whose content follows the header. */
  normal: number;
  zero: number;
}

const METHOD_NAMES = Object.keys(COMPRESSION) as (keyof typeof COMPRESSION)[];
/** A packet's header is checked in here, for any page size; then what the core says of it. */
const HEADER_AT = 0;
const INFO_AT = 8192;
const OFFSETS_AT = 12_288;
const TABLE_AT = 16_384;
const WASM_PAGE = 65536;
/** The length field has 32 bits; what there is of it is bounded by the file. */
const MOST_DEVICE_STATE = 2 ** 31 - 1;

/**
 * Checks headers of packets, for all channels of one migration, with the core that receiving
 * channels use.
 */
export class PacketChecker {
  readonly pagesPerPacket: number;
  /** Where a header to be checked has to be. */
  readonly header: Uint8Array;
  readonly #core: CoreExports;
  readonly #memory: WebAssembly.Memory;
  readonly #view: DataView;
  readonly #pageSize: number;
  readonly #blocks: number;
  #compression: keyof typeof COMPRESSION | undefined;

  private constructor(
    core: CoreExports,
    memory: WebAssembly.Memory,
    blocks: readonly RamBlock[],
    pageSize: number,
  ) {
    this.#core = core;
    this.#memory = memory;
    this.#view = new DataView(memory.buffer);
    this.#pageSize = pageSize;
    this.#blocks = blocks.length;
    this.pagesPerPacket = pagesPerPacket(pageSize);
    this.header = new Uint8Array(memory.buffer, HEADER_AT, INFO_AT);
    this.resize(blocks);
  }

  static async create(blocks: readonly RamBlock[], pageSize: number): Promise<PacketChecker> {
    const memory = new WebAssembly.Memory({
      initial: Math.ceil((TABLE_AT + blockTable(blocks).length) / WASM_PAGE),
    });
    return new PacketChecker(await instantiateCore(memory), memory, blocks, pageSize);
  }

  /** Takes the lengths of blocks that have grown. @param blocks the same ones as before. */
  resize(blocks: readonly RamBlock[]): void {
    new Uint8Array(this.#memory.buffer).set(blockTable(blocks), TABLE_AT);
  }

  /** What the first packet with pages was compressed with; undefined until then. */
  get compression(): keyof typeof COMPRESSION | undefined {
    return this.#compression;
  }

  /** @throws MultifdError what is wrong with the header. */
  check(place: {
    channel: number;
    packet: number;
    offset: number;
  }): PacketReport & { payload: number } {
    const flags = this.#view.getUint32(HEADER_AT + RAM.flags);
    return (flags & FLAG_DEVICE_STATE) === 0
      ? this.#checkRam(flags, place)
      : this.#checkDeviceState(place);
  }

  #checkRam(
    flags: number,
    place: { channel: number; packet: number; offset: number },
  ): PacketReport & { payload: number } {
    const hasPages =
      this.#view.getUint32(HEADER_AT + RAM.normalPages) +
        this.#view.getUint32(HEADER_AT + RAM.zeroPages) >
      0;
    // No capability says which compression it is: the first packet's is that of all.
    const method = (flags >>> COMPRESSION_SHIFT) & COMPRESSION_MASK;
    const seen = METHOD_NAMES.find((name) => COMPRESSION[name] === method);
    const expected = this.#compression ?? (hasPages ? seen : 'none');
    if (expected === undefined)
      throw new MultifdError('ERR_COMPRESSION', `flags: the compression ${method} is not known`, {
        ...place,
        field: 'flags',
      });
    const refusal = this.#core.checkRam(
      HEADER_AT,
      this.pagesPerPacket,
      this.#pageSize,
      COMPRESSION[expected],
      TABLE_AT,
      this.#blocks,
      INFO_AT,
      OFFSETS_AT,
    );
    const info = (field: number): number => this.#view.getUint32(INFO_AT + field, true);
    if (refusal !== 0) throw packetError(refusal, this.#view, place, info(RAM_INFO.badPage));
    if (hasPages) this.#compression = expected;
    const block = info(RAM_INFO.block);
    return {
      kind: 'ram',
      sync: (info(RAM_INFO.flags) & FLAG_SYNC) !== 0,
      block: block === NO_BLOCK ? undefined : block,
      normal: info(RAM_INFO.normal),
      zero: info(RAM_INFO.zero),
      payload: info(RAM_INFO.payload),
    };
  }

  #checkDeviceState(place: {
    channel: number;
    packet: number;
    offset: number;
  }): PacketReport & { payload: number } {
    const refusal = this.#core.checkDeviceState(HEADER_AT, MOST_DEVICE_STATE, INFO_AT);
    if (refusal !== 0) throw packetError(refusal, this.#view, place);
    return {
      kind: 'device-state',
      sync: false,
      block: undefined,
      normal: 0,
      zero: 0,
      payload: this.#view.getUint32(INFO_AT + DEVICE_STATE_INFO.payload, true),
    };
  }
}

const WINDOW = 16 * 1024;

/** A recorded channel's packets, one by one: headers are read and checked, payloads skipped. */
export class PacketReader {
  readonly #file: RecordedFile;
  readonly #channel: number;
  readonly #checker: PacketChecker;
  readonly #window = new Uint8Array(WINDOW);
  #windowAt = 0;
  #windowBytes = 0;
  #position = INITIAL_LENGTH;
  #packet = 0;

  constructor(file: RecordedFile, channel: number, checker: PacketChecker) {
    this.#file = file;
    this.#channel = channel;
    this.#checker = checker;
  }

  /**
   * The next packet; undefined at the end.
   * @throws MultifdError what is wrong with its header; ERR_PEER_CLOSED when the connection ended
   *   in the middle of it; ERR_IO.
   */
  async next(): Promise<PacketReport | undefined> {
    const at = this.#position;
    if (at >= this.#file.size) return undefined;
    const place = { channel: this.#channel, packet: this.#packet, offset: at };
    // Either header has at least this many bytes; the flags among them tell which it is.
    await this.#fill(at, 0, DEVICE_STATE_LENGTH);
    const { header } = this.#checker;
    const flags = new DataView(header.buffer, header.byteOffset).getUint32(RAM.flags);
    const length =
      (flags & FLAG_DEVICE_STATE) === 0
        ? ramHeaderLength(this.#checker.pagesPerPacket)
        : DEVICE_STATE_LENGTH;
    await this.#fill(at, DEVICE_STATE_LENGTH, length);
    const { payload, ...packet } = this.#checker.check(place);
    if (payload > this.#file.size - at - length) throw this.#cutShort();
    this.#position = at + length + payload;
    this.#packet++;
    return packet;
  }

  /**
   * Bytes `from` to `to` of the packet at `at` into the checker's header, where no other reader's
   * may come between this and the check.
   */
  async #fill(at: number, from: number, to: number): Promise<void> {
    if (at + to > this.#file.size) throw this.#cutShort();
    const { header } = this.#checker;
    for (let filled = from; filled < to; ) {
      const offset = at + filled - this.#windowAt;
      if (offset < 0 || offset >= this.#windowBytes) {
        this.#windowBytes = await this.#file.read(this.#window, at + filled);
        this.#windowAt = at + filled;
        continue;
      }
      const part = this.#window.subarray(offset, Math.min(this.#windowBytes, offset + to - filled));
      header.set(part, filled);
      filled += part.length;
    }
  }

  #cutShort(): MultifdError {
    return new MultifdError('ERR_PEER_CLOSED', 'the connection ended in the middle of a packet', {
      channel: this.#channel,
      packet: this.#packet,
      offset: this.#file.size,
    });
  }
}
