import { GrowingBytes } from '../util/bytes.ts';
import type { ByteReader } from './byte-reader.ts';
import type { StreamCommand } from './commands.ts';
import { Command, isPageSize, Section } from './constants.ts';
import type { MainStreamHandler } from './handler.ts';
import type { RamSection } from './ram-section.ts';

const COMMAND_HEAD = 5;
const PING_LENGTH = COMMAND_HEAD + 4;

/**
 * What a source with postcopy says in a main stream, up to where its guest would run at the target:
 *
 *     ADVISE    before "ram" is started: it may go over to postcopy
 *     DISCARD   for each block with pages that have changed since they were sent
 *     PACKAGED  be32 length, then LISTEN, device sections, PING..., RUN
 *
 * From there on pages come on the main channel, up to the END of "ram".
 */
export class Postcopy {
  readonly #reader: ByteReader;
  readonly #handler: MainStreamHandler;
  readonly #ram: RamSection;
  readonly #most: number;
  #advised = false;
  /** The bitwise or of the page sizes of the source's memory, in bytes; 0: not told. */
  hostPageSizes = 0;
  /** Bytes per page, once it is told. */
  pageSize: number | undefined;
  /** The device sections have come: the guest would run. */
  running = false;

  /** @param most bytes that the device sections may have. */
  constructor(reader: ByteReader, handler: MainStreamHandler, ram: RamSection, most: number) {
    this.#reader = reader;
    this.#handler = handler;
    this.#ram = ram;
    this.#most = most;
  }

  /**
   * @param at the command's position.
   * @returns how many bytes of device sections have come with it.
   * @throws MultifdError ERR_STREAM for what is malformed, or out of order; ERR_UNSUPPORTED where
   *   the handler takes no postcopy.
   */
  async command({ command, data }: StreamCommand, at: number): Promise<number> {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    switch (command) {
      case Command.POSTCOPY_ADVISE:
        this.#advise(view, at);
        return 0;
      case Command.POSTCOPY_RAM_DISCARD:
        await this.#discard(view, at);
        return 0;
      case Command.PACKAGED:
        return this.#packaged(view.getUint32(0), at);
      case Command.POSTCOPY_LISTEN:
      case Command.POSTCOPY_RUN:
        throw this.#reader.error('ERR_STREAM', `command ${command} outside of a package`, at);
      case Command.POSTCOPY_RESUME:
      case Command.RECV_BITMAP:
        if (this.running) return 0;
        throw this.#reader.error('ERR_STREAM', `command ${command} before postcopy began`, at);
      default:
        return 0;
    }
  }

  /** be64 page sizes of the source's memory | be64 target page; or nothing: only bitmaps. */
  #advise(data: DataView, at: number): void {
    if (this.#advised || this.#ram.blocks !== undefined)
      throw this.#reader.error('ERR_STREAM', 'POSTCOPY_ADVISE twice, or after the blocks', at);
    this.#advised = true;
    if (data.byteLength === 0) return;
    const pageSize = data.byteLength === 16 ? Number(data.getBigUint64(8)) : 0;
    if (!isPageSize(pageSize))
      throw this.#reader.error('ERR_STREAM', 'POSTCOPY_ADVISE with no page size', at);
    this.hostPageSizes = Number(data.getBigUint64(0));
    this.pageSize = pageSize;
  }

  /** u8 0 | u8 length, block id, 00 | pairs of be64 start, be64 length. */
  async #discard(data: DataView, at: number): Promise<void> {
    const wrong = (what: string): never => {
      throw this.#reader.error('ERR_STREAM', `POSTCOPY_RAM_DISCARD: ${what}`, at);
    };
    if (this.#handler.discard === undefined) this.#refuse(at);
    const { blocks } = this.#ram;
    if (blocks === undefined || this.running) wrong('out of order');
    if (data.byteLength < 3 || data.getUint8(0) !== 0) wrong('a version other than 0');
    const length = data.getUint8(1);
    const pairs = 2 + length + 1;
    if (pairs > data.byteLength || data.getUint8(pairs - 1) !== 0) wrong('no name');
    if ((data.byteLength - pairs) % 16 !== 0) wrong('half a range');
    const id = new TextDecoder().decode(new Uint8Array(data.buffer, data.byteOffset + 2, length));
    const index = this.#ram.indexOf(id, at);
    const { usedLength } = blocks![index]!;
    for (let pair = pairs; pair < data.byteLength; pair += 16) {
      const start = Number(data.getBigUint64(pair));
      const bytes = Number(data.getBigUint64(pair + 8));
      if (start + bytes > usedLength) wrong(`bytes behind the end of ${id}`);
      await this.#handler.discard!(index, start, bytes);
    }
  }

  async #packaged(length: number, at: number): Promise<number> {
    if (this.#handler.packaged === undefined) this.#refuse(at);
    const reader = this.#reader;
    if (!this.#advised || this.running || this.#ram.blocks === undefined)
      throw reader.error('ERR_STREAM', 'a package of device sections out of order', at);
    if (length > this.#most)
      throw reader.error(
        'ERR_STREAM',
        `a package of ${length} bytes; maxDeviceState allows ${this.#most}`,
        at,
      );
    const content = new GrowingBytes();
    while (content.length < length) {
      await reader.ensure(1);
      content.append(reader.bytes(Math.min(reader.buffered, length - content.length)));
    }
    const { sections, pings } = this.#unpack(content.bytes, at);
    await this.#handler.tail(sections);
    this.running = true;
    this.#ram.postcopy = true;
    await this.#handler.packaged!(pings, (urgent) => this.#ram.beside(urgent).parse('part', 0));
    return sections.length;
  }

  /**
   * Device sections have no length; but what is around them is known from both ends.
   *
   *     LISTEN | device sections | PING... | RUN
   */
  #unpack(bytes: Uint8Array, at: number): { sections: Uint8Array; pings: number[] } {
    const isCommand = (position: number, command: number, length: number): boolean =>
      position >= 0 &&
      bytes[position] === Section.COMMAND &&
      bytes[position + 1] === 0 &&
      bytes[position + 2] === command &&
      bytes[position + 3] === 0 &&
      bytes[position + 4] === length;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let end = bytes.length - COMMAND_HEAD;
    if (!isCommand(0, Command.POSTCOPY_LISTEN, 0) || !isCommand(end, Command.POSTCOPY_RUN, 0))
      throw this.#reader.error(
        'ERR_UNSUPPORTED',
        'a package that does not begin with POSTCOPY_LISTEN and end with POSTCOPY_RUN',
        at,
      );
    const pings: number[] = [];
    while (isCommand(end - PING_LENGTH, Command.PING, 4)) {
      end -= PING_LENGTH;
      pings.unshift(view.getUint32(end + COMMAND_HEAD));
    }
    const sections = bytes.subarray(COMMAND_HEAD, end);
    const { length } = sections;
    const whole =
      sections[0] === Section.FULL && length >= 5 && sections[length - 5] === Section.FOOTER;
    // Memory that is no VM's may have none.
    if (length > 0 && !whole)
      throw this.#reader.error('ERR_STREAM', 'a package without whole device sections', at);
    return { sections, pings };
  }

  #refuse(at: number): never {
    throw this.#reader.error(
      'ERR_UNSUPPORTED',
      'the stream goes over to postcopy, which cannot be here',
      at,
    );
  }
}
