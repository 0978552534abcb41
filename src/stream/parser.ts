import { formatUuid } from '../util/bytes.ts';
import { MultifdError } from '../util/errors.ts';
import type { ByteReader } from './byte-reader.ts';
import type { BlockLimits } from './blocks.ts';
import { parseCommand } from './commands.ts';
import { parseConfiguration, type Configuration } from './configuration.ts';
import {
  IGNORE_SHARED,
  isPageSize,
  MAPPED_RAM,
  MAX_PAGE_SIZE,
  MIN_PAGE_SIZE,
  RAM_IDSTR,
  RAM_VERSION,
  Section,
  STREAM_MAGIC,
  STREAM_VERSION,
} from './constants.ts';
import type { MainStreamHandler, RamSectionKind, SyncMode } from './handler.ts';
import { readName } from './names.ts';
import type { OtherPlace } from './other/section.ts';
import { OtherSections, type SectionHeader } from './other/sections.ts';
import { Postcopy } from './postcopy.ts';
import { RamSection } from './ram-section.ts';
import { TailScanner } from './device-state/tail-scanner.ts';

export interface ParseOptions {
  /** Bytes per page; default what the stream tells. */
  pageSize?: number;
  /** The most bytes all blocks together may have; default 1 TiB. */
  maxBytes?: number;
  /** The most blocks; default 4096. */
  maxBlocks?: number;
  /** The most bytes of sections that are not "ram", wherever they are; default 64 MiB. */
  maxTail?: number;
  /** 16 bytes; a CONFIGURATION that has another uuid is refused. One that has none is not. */
  uuid?: Uint8Array;
}

export interface StreamSummary {
  readonly configuration: Configuration;
  /** Means nothing in a mapped-ram file: nothing is synchronised there. */
  readonly syncMode: SyncMode;
  /** Whether the stream went over to postcopy: it has no description then. */
  readonly postcopy: boolean;
  /** Position in the stream of the first byte of what follows the RAM; with postcopy of its end. */
  readonly tailOffset: number;
  /** Bytes that follow the RAM; with postcopy those of the device sections, which came before. */
  readonly tailLength: number;
}

const DEFAULT_MAX_BYTES = 2 ** 40;
const DEFAULT_MAX_BLOCKS = 4096;
/** A QEMU guest's is some 100 KB; with VFIO or TPM state, or 255 CPUs, it is some megabytes. */
export const DEFAULT_MAX_TAIL = 64 * 1024 * 1024;

/**
 * Parses a whole main stream, from `QEVM` to its end. Device sections cannot be parsed without
 * knowing the devices; they are handed on verbatim.
 *
 * @throws MultifdError ERR_MAGIC, ERR_VERSION, ERR_UUID, ERR_STREAM, ERR_BLOCK, ERR_BLOCK_LENGTH,
 *   ERR_PAGE_OFFSET for what is wrong in the stream; ERR_UNSUPPORTED for what is right but not
 *   handled; ERR_PEER_CLOSED (ERR_IMAGE for a file) if the source ends before the stream is
 *   complete; ERR_OPTION for a page size that is not a power of two from 1 KiB to 512 KiB; and
 *   what the handler throws.
 */
export function parseMainStream(
  reader: ByteReader,
  handler: MainStreamHandler,
  options: ParseOptions = {},
): Promise<StreamSummary> {
  return new MainStream(reader, handler, options).parse();
}

/**
 *     QEVM, CONFIGURATION
 *     COMMAND, and sections beside "ram"
 *     START of "ram", PART..., END       with sections beside it, and COMMANDs, between
 *     END of other sections
 *     device sections, EOF, [VMDESCRIPTION]
 *
 * With postcopy the device sections come in a PACKAGED command before the last pages, and behind
 * the END of "ram" there is EOF alone.
 */
class MainStream {
  readonly #reader: ByteReader;
  readonly #handler: MainStreamHandler;
  readonly #options: ParseOptions;
  readonly #others: OtherSections;
  readonly #ram: RamSection;
  readonly #postcopy: Postcopy;
  readonly #maxTail: number;
  #configuration: Configuration = { machine: '', capabilities: [] };
  /** Bytes per page that the stream has told. */
  #pageSize: number | undefined;
  #tailLength = 0;

  constructor(reader: ByteReader, handler: MainStreamHandler, options: ParseOptions) {
    this.#reader = reader;
    this.#handler = handler;
    this.#options = options;
    this.#maxTail = options.maxTail ?? DEFAULT_MAX_TAIL;
    this.#others = new OtherSections(reader, handler, this.#maxTail);
    this.#ram = new RamSection(reader, handler, () => this.#limits());
    this.#postcopy = new Postcopy(reader, handler, this.#ram, this.#maxTail);
  }

  async parse(): Promise<StreamSummary> {
    const { pageSize } = this.#options;
    if (pageSize !== undefined && !isPageSize(pageSize)) {
      throw new MultifdError(
        'ERR_OPTION',
        `pageSize is ${pageSize}; it must be a power of two from ${MIN_PAGE_SIZE} to ` +
          `${MAX_PAGE_SIZE}`,
      );
    }
    this.#configuration = await parseStreamHeader(this.#reader);
    checkConfiguration(this.#reader, this.#configuration, this.#options.uuid);
    this.#pageSize = expectedPageSize(this.#reader, this.#configuration, pageSize);
    await this.#handler.configuration(this.#configuration);
    await this.#toEndOfRam();
    if (!this.#postcopy.running) await this.#othersBehind();
    const tailOffset = this.#reader.position;
    if (this.#postcopy.running) await this.#end();
    else await this.#tail();
    return {
      configuration: this.#configuration,
      syncMode: this.#ram.syncMode,
      postcopy: this.#postcopy.running,
      tailOffset,
      tailLength: this.#tailLength,
    };
  }

  #limits(): BlockLimits {
    const { maxBytes = DEFAULT_MAX_BYTES, maxBlocks = DEFAULT_MAX_BLOCKS } = this.#options;
    const { capabilities } = this.#configuration;
    return {
      pageSize: this.#pageSize,
      maxBytes,
      maxBlocks,
      mappedRam: capabilities.includes(MAPPED_RAM),
      ignoreShared: capabilities.includes(IGNORE_SHARED),
      hostPageSizes: this.#postcopy.hostPageSizes,
    };
  }

  /** Up to the footer of the last section "ram". In postcopy a lost source may come back. */
  async #toEndOfRam(): Promise<void> {
    for (;;) {
      try {
        if (await this.#record()) return;
      } catch (thrown) {
        const { reconnect } = this.#handler;
        const lost = thrown instanceof MultifdError && thrown.code === 'ERR_PEER_CLOSED';
        if (!lost || !this.#postcopy.running || reconnect === undefined) throw thrown;
        this.#reader.restart(await reconnect.call(this.#handler, thrown));
      }
    }
  }

  /** Takes the next record. @returns whether it was the END of "ram". */
  async #record(): Promise<boolean> {
    const reader = this.#reader;
    await reader.ensure(1);
    const at = reader.position;
    const type = reader.u8();
    switch (type) {
      case Section.COMMAND:
        await this.#command(at);
        return false;
      case Section.START:
      case Section.FULL:
        await this.#begin(type, at);
        return false;
      case Section.PART:
      case Section.END:
        return this.#goOn(type, at);
      case Section.EOF:
      case Section.VMDESCRIPTION:
        throw reader.error(
          'ERR_STREAM',
          'the stream ends before its RAM does; the source was stopped',
          at,
        );
      default:
        throw reader.error(
          'ERR_STREAM',
          `a section of type 0x${type.toString(16)} is not known`,
          at,
        );
    }
  }

  async #command(at: number): Promise<void> {
    const command = await parseCommand(this.#reader);
    const before = this.#tailLength;
    await this.#handler.command(command);
    this.#tailLength += await this.#postcopy.command(command, at);
    this.#pageSize ??= this.#postcopy.pageSize;
    if (this.#tailLength > before) this.#demandKnown('a stream in postcopy');
  }

  async #begin(type: number, at: number): Promise<void> {
    const reader = this.#reader;
    const header = await parseSectionHeader(reader);
    const { sectionId, idstr } = header;
    const others = this.#others;
    if (type !== Section.START || idstr !== RAM_IDSTR || header.instanceId !== 0) {
      return others.begin(type, header, this.#place(at), at);
    }
    if (others.ram !== undefined)
      throw reader.error('ERR_STREAM', 'the section "ram" is started twice', at);
    if (header.version !== RAM_VERSION) {
      throw reader.error(
        'ERR_VERSION',
        `the section "ram" has version ${header.version}; only ${RAM_VERSION} is known`,
        at,
      );
    }
    if (others.isOpen(sectionId))
      throw reader.error('ERR_STREAM', `"ram" has the number ${sectionId} of another section`, at);
    others.ram = sectionId;
    await this.#ram.parse('start', sectionId);
    await parseFooter(reader, sectionId);
  }

  /** Of a section that is not "ram". */
  #place(at: number): OtherPlace {
    if (this.#postcopy.running)
      throw this.#reader.error(
        'ERR_UNSUPPORTED',
        'a section that is not "ram" in postcopy, behind the device sections',
        at,
      );
    return this.#others.ram === undefined ? 'before' : 'between';
  }

  /** PART and END: be32 section id. @returns whether it was the END of "ram". */
  async #goOn(type: number, at: number): Promise<boolean> {
    const reader = this.#reader;
    await reader.ensure(4);
    const sectionId = reader.u32();
    const others = this.#others;
    if (sectionId !== others.ram) {
      await others.goOn(type, sectionId, this.#place(at), at);
      return false;
    }
    const kind: RamSectionKind = type === Section.END ? 'end' : 'part';
    await this.#ram.parse(kind, sectionId);
    await parseFooter(reader, sectionId);
    return kind === 'end';
  }

  /** Sections beside "ram" that end behind it. */
  async #othersBehind(): Promise<void> {
    const reader = this.#reader;
    for (;;) {
      await reader.ensure(1);
      const type = reader.peek();
      const at = reader.position;
      if (type === Section.START) {
        reader.u8();
        await this.#others.begin(type, await parseSectionHeader(reader), 'after', at);
        continue;
      }
      if (type !== Section.PART && type !== Section.END) return;
      await reader.ensure(5);
      reader.u8();
      await this.#others.goOn(type, reader.u32(), 'after', at);
    }
  }

  /** Device sections, EOF, VMDESCRIPTION. */
  async #tail(): Promise<void> {
    const reader = this.#reader;
    const scanner = new TailScanner(this.#others.full);
    while (!scanner.complete && !(await reader.atEnd())) {
      const chunk = reader.rest();
      const taken = scanner.feed(chunk);
      this.#tailLength += taken;
      if (this.#tailLength + this.#others.taken > this.#maxTail) {
        const allowed = `the ${this.#maxTail} bytes of device state that maxDeviceState allows`;
        throw reader.error('ERR_STREAM', `more than ${allowed}`);
      }
      await this.#handler.tail(chunk.subarray(0, taken));
    }
    if (scanner.contradicted)
      throw reader.error(
        'ERR_STREAM',
        'what was taken for whole sections before the device sections is not what the ' +
          'description at the end says of them: where they end cannot be told',
      );
    if (!scanner.complete && !scanner.endsWithMark) throw reader.endedEarly();
    if (scanner.description === undefined) this.#demandKnown('this stream');
  }

  /** Without a description nothing confirms where a section of unknown layout has ended. */
  #demandKnown(stream: string): void {
    const { guessed } = this.#others;
    if (guessed === undefined) return;
    throw this.#reader.error(
      'ERR_UNSUPPORTED',
      `where the section of ${guessed} ends, which comes before the end of "ram", could only be ` +
        `told from a description of the devices, and ${stream} has none`,
    );
  }

  /** EOF, which is all that is left after postcopy. */
  async #end(): Promise<void> {
    const reader = this.#reader;
    await reader.ensure(1);
    const at = reader.position;
    const type = reader.u8();
    if (type !== Section.EOF)
      throw reader.error('ERR_STREAM', `0x${type.toString(16)} in place of the stream's end`, at);
    this.#tailLength++;
    await this.#handler.tail(Uint8Array.of(Section.EOF));
  }
}

/**
 * Parses what every main stream begins with: `QEVM`, be32 version 3, the CONFIGURATION section.
 *
 * @throws MultifdError ERR_MAGIC, ERR_VERSION, ERR_STREAM or ERR_UNSUPPORTED for what is wrong
 *   with it; ERR_PEER_CLOSED (ERR_IMAGE for a file) for an early end.
 */
export async function parseStreamHeader(reader: ByteReader): Promise<Configuration> {
  const at = reader.position;
  await reader.ensure(4);
  if (reader.u32() !== STREAM_MAGIC)
    throw reader.error('ERR_MAGIC', 'this is no migration stream: it does not begin with QEVM', at);
  await reader.ensure(5);
  const version = reader.u32();
  if (version !== STREAM_VERSION) {
    throw reader.error(
      'ERR_VERSION',
      `the stream has version ${version}; only ${STREAM_VERSION} is known`,
      at + 4,
    );
  }
  if (reader.u8() !== Section.CONFIGURATION)
    throw reader.error('ERR_STREAM', 'the stream does not begin with CONFIGURATION', at + 8);
  return parseConfiguration(reader);
}

function checkConfiguration(
  reader: ByteReader,
  configuration: Configuration,
  uuid: Uint8Array | undefined,
): void {
  const { capabilities } = configuration;
  const other = capabilities.find((name) => name !== MAPPED_RAM && name !== IGNORE_SHARED);
  if (other !== undefined) {
    throw reader.error(
      'ERR_UNSUPPORTED',
      `the source uses ${other}, which changes the format; turn it off at the source`,
    );
  }
  if (capabilities.includes(MAPPED_RAM) && !reader.seekable) {
    throw reader.error(
      'ERR_UNSUPPORTED',
      'mapped-ram is a form for files, not for connections; turn it off at the source',
    );
  }
  if (
    uuid !== undefined &&
    configuration.uuid !== undefined &&
    !configuration.uuid.every((byte, i) => byte === uuid[i])
  ) {
    const both = `${formatUuid(configuration.uuid)}, and the uuid expected here is`;
    throw reader.error('ERR_UUID', `the source is the VM ${both} ${formatUuid(uuid)}`);
  }
}

/**
 * The page size in bytes, from the configuration and what the caller said; undefined if neither
 * says it.
 */
function expectedPageSize(
  reader: ByteReader,
  { targetPageBits }: Configuration,
  given: number | undefined,
): number | undefined {
  if (targetPageBits === undefined) return given;
  const pageSize = 2 ** targetPageBits;
  if (given === undefined && isPageSize(pageSize)) return pageSize;
  if (pageSize !== given) {
    throw reader.error(
      'ERR_UNSUPPORTED',
      `the source has pages of 2^${targetPageBits} bytes, not the ${given ?? 'sizes known'} ` +
        'expected here',
    );
  }
  return pageSize;
}

/**
 * Of START and FULL, behind the first byte: be32 section id | u8 length, idstr | be32 instance id |
 * be32 version.
 */
async function parseSectionHeader(reader: ByteReader): Promise<SectionHeader> {
  await reader.ensure(4);
  const sectionId = reader.u32();
  const idstr = await readName(reader, 'a section');
  await reader.ensure(8);
  return { sectionId, idstr, instanceId: reader.u32(), version: reader.u32() };
}

async function parseFooter(reader: ByteReader, sectionId: number): Promise<void> {
  const at = reader.position;
  await reader.ensure(5);
  if (reader.u8() !== Section.FOOTER)
    throw reader.error('ERR_STREAM', 'a section is not followed by its footer', at);
  const id = reader.u32();
  if (id !== sectionId)
    throw reader.error(
      'ERR_STREAM',
      `the footer of section ${id} follows the section ${sectionId}`,
      at,
    );
}
