import { formatUuid } from '../util/bytes.ts';
import { MultifdError } from '../util/errors.ts';
import type { ByteReader } from './byte-reader.ts';
import { parseCommand } from './commands.ts';
import { parseConfiguration, type Configuration } from './configuration.ts';
import {
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
import { RamSection } from './ram-section.ts';
import { TailScanner } from './device-state/tail-scanner.ts';

export interface ParseOptions {
  /** Bytes per page; default 4096, or with mapped-ram what the file says. */
  pageSize?: number;
  /** The most bytes all blocks together may have; default 1 TiB. */
  maxBytes?: number;
  /** The most blocks; default 4096. */
  maxBlocks?: number;
  /** The most bytes that may follow the RAM; default 64 MiB. */
  maxTail?: number;
  /** 16 bytes; a CONFIGURATION that has another uuid is refused. One that has none is not. */
  uuid?: Uint8Array;
}

interface RamSummary {
  readonly configuration: Configuration;
  /** Means nothing in a mapped-ram file: nothing is synchronised there. */
  readonly syncMode: SyncMode;
  /** Position in the stream of the first byte after the RAM. */
  readonly tailOffset: number;
}

export interface StreamSummary extends RamSummary {
  /** Bytes that follow the RAM. */
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
 *   complete; ERR_OPTION for a page size that is not a power of two from 4 KiB to 512 KiB; and
 *   what the handler throws.
 */
export async function parseMainStream(
  reader: ByteReader,
  handler: MainStreamHandler,
  options: ParseOptions = {},
): Promise<StreamSummary> {
  const summary = await parseRam(reader, handler, options);
  const maxTail = options.maxTail ?? DEFAULT_MAX_TAIL;
  const scanner = new TailScanner();
  let tailLength = 0;
  while (!scanner.complete && !(await reader.atEnd())) {
    const chunk = reader.rest();
    const taken = scanner.feed(chunk);
    tailLength += taken;
    if (tailLength > maxTail) {
      const allowed = `the ${maxTail} bytes of device state that maxDeviceState allows`;
      throw reader.error('ERR_STREAM', `more than ${allowed}`);
    }
    await handler.tail(chunk.subarray(0, taken));
  }
  if (!scanner.complete && !scanner.endsWithMark) throw reader.endedEarly();
  return { ...summary, tailLength };
}

/** Parses a main stream up to the footer of the last section "ram", and leaves the reader there. */
async function parseRam(
  reader: ByteReader,
  handler: MainStreamHandler,
  options: ParseOptions,
): Promise<RamSummary> {
  const { pageSize } = options;
  if (pageSize !== undefined && !isPageSize(pageSize)) {
    throw new MultifdError(
      'ERR_OPTION',
      `pageSize is ${pageSize}; it must be a power of two from ${MIN_PAGE_SIZE} to ` +
        `${MAX_PAGE_SIZE}`,
    );
  }
  const configuration = await parseStreamHeader(reader);
  checkConfiguration(reader, configuration, options.uuid);
  const mappedRam = configuration.capabilities.includes(MAPPED_RAM);
  const ram = new RamSection(reader, handler, {
    pageSize: expectedPageSize(
      reader,
      configuration,
      pageSize ?? (mappedRam ? undefined : MIN_PAGE_SIZE),
    ),
    maxBytes: options.maxBytes ?? DEFAULT_MAX_BYTES,
    maxBlocks: options.maxBlocks ?? DEFAULT_MAX_BLOCKS,
    mappedRam,
  });
  await handler.configuration(configuration);
  let sectionId: number | undefined;
  for (;;) {
    await reader.ensure(1);
    const at = reader.position;
    const type = reader.u8();
    if (type === Section.COMMAND) {
      await handler.command(await parseCommand(reader));
      continue;
    }
    const kind = ramSectionKind(reader, type, at);
    sectionId =
      kind === 'start'
        ? await parseStartHeader(reader, type, sectionId, at)
        : await parseSectionId(reader, sectionId, at);
    await ram.parse(kind);
    await parseFooter(reader, sectionId);
    if (kind === 'end')
      return { configuration, syncMode: ram.syncMode, tailOffset: reader.position };
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
  const other = capabilities.find((name) => name !== MAPPED_RAM);
  if (other !== undefined) {
    throw reader.error(
      'ERR_UNSUPPORTED',
      `the source uses ${other}, which changes the format; turn it off at the source`,
    );
  }
  if (capabilities.length > 0 && !reader.seekable) {
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

function ramSectionKind(reader: ByteReader, type: number, at: number): RamSectionKind {
  switch (type) {
    case Section.START:
    case Section.FULL: // refused once its name is known, for the message
      return 'start';
    case Section.PART:
      return 'part';
    case Section.END:
      return 'end';
    case Section.EOF:
    case Section.VMDESCRIPTION:
      throw reader.error(
        'ERR_STREAM',
        'the stream ends before its RAM does; the source was stopped',
        at,
      );
    default:
      throw reader.error('ERR_STREAM', `a section of type 0x${type.toString(16)} is not known`, at);
  }
}

/**
 * START and FULL: be32 section id | u8 length, idstr | be32 instance id | be32 version. Gives the
 * section id of "ram".
 */
async function parseStartHeader(
  reader: ByteReader,
  type: number,
  ramId: number | undefined,
  at: number,
): Promise<number> {
  await reader.ensure(4);
  const id = reader.u32();
  const idstr = await readName(reader, 'a section');
  await reader.ensure(8);
  const instance = reader.u32();
  const version = reader.u32();
  if (type !== Section.START || idstr !== RAM_IDSTR || instance !== 0) {
    throw reader.error(
      'ERR_UNSUPPORTED',
      `the section "${idstr}" ${instance} comes before the end of "ram"; only "ram" can be read`,
      at,
    );
  }
  if (ramId !== undefined)
    throw reader.error('ERR_STREAM', 'the section "ram" is started twice', at);
  if (version !== RAM_VERSION) {
    throw reader.error(
      'ERR_VERSION',
      `the section "ram" has version ${version}; only ${RAM_VERSION} is known`,
      at,
    );
  }
  return id;
}

/** PART and END: be32 section id. */
async function parseSectionId(
  reader: ByteReader,
  ramId: number | undefined,
  at: number,
): Promise<number> {
  await reader.ensure(4);
  const id = reader.u32();
  if (ramId === undefined)
    throw reader.error('ERR_STREAM', `the section ${id} goes on before it was started`, at);
  if (id !== ramId)
    throw reader.error(
      'ERR_UNSUPPORTED',
      `the section ${id} is not "ram"; nothing else can be read`,
      at,
    );
  return id;
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
