import { MultifdError } from '../util/errors.ts';
import type { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { Section } from './constants.ts';
import { readName, readText } from './names.ts';

/** What the source says about itself before anything else. */
export interface Configuration {
  /** Machine type, such as `pc-i440fx-10.0`; a QEMU target takes only its own. */
  readonly machine: string;
  /** The capabilities that change the format: `mapped-ram` in image files, none on connections. */
  readonly capabilities: readonly string[];
  /** The VM's uuid, 16 bytes, if the source says it. */
  readonly uuid?: Uint8Array;
  /** log2 of the page size in bytes, if the source's machine can have several. */
  readonly targetPageBits?: number;
}

const CAPABILITIES = 'configuration/capabilities';
const UUID = 'configuration/uuid';
const TARGET_PAGE_BITS = 'configuration/target-page-bits';
const SUBSECTION_VERSION = 1;
const UUID_LENGTH = 16;

const MAX_MACHINE_LENGTH = 255;
/** QEMU has some 30 capabilities, and names at most two of them here. */
const MAX_CAPABILITIES = 64;

/**
 * Reads a CONFIGURATION section whose first byte has been taken already.
 *
 *     07 | be32 length, machine
 *     05 | u8 length, "configuration/target-page-bits" | be32 1 | be32 bits
 *     05 | u8 length, "configuration/capabilities"     | be32 1 | be32 count, count names
 *     05 | u8 length, "configuration/uuid"             | be32 1 | 16 bytes
 *
 * Each of the subsections, which begin with 05, is optional.
 *
 * @throws MultifdError ERR_STREAM if it is malformed, ERR_VERSION for a subsection's version,
 *   ERR_UNSUPPORTED for an unknown subsection: it has no length, so that nothing behind it can be
 *   found.
 */
export async function parseConfiguration(reader: ByteReader): Promise<Configuration> {
  await reader.ensure(4);
  const length = reader.u32();
  if (length > MAX_MACHINE_LENGTH) {
    throw reader.error(
      'ERR_STREAM',
      `a machine type of ${length} bytes; at most ${MAX_MACHINE_LENGTH} are allowed`,
    );
  }
  let configuration: Configuration = {
    machine: await readText(reader, length, 'the machine type', 'ERR_STREAM'),
    capabilities: [],
  };
  const seen = new Set<string>();
  for (;;) {
    await reader.ensure(1);
    if (reader.peek() !== Section.SUBSECTION) return configuration;
    const at = reader.position;
    reader.u8();
    const name = await readName(reader, 'a configuration subsection');
    if (seen.has(name)) throw reader.error('ERR_STREAM', `the subsection ${name} comes twice`, at);
    seen.add(name);
    configuration = { ...configuration, ...(await parseSubsection(reader, name, at)) };
  }
}

async function parseSubsection(
  reader: ByteReader,
  name: string,
  at: number,
): Promise<Partial<Configuration>> {
  await reader.ensure(4);
  const version = reader.u32();
  if (name !== CAPABILITIES && name !== UUID && name !== TARGET_PAGE_BITS) {
    throw reader.error(
      'ERR_UNSUPPORTED',
      `the configuration subsection ${name} is not known; migrate without it`,
      at,
    );
  }
  if (version !== SUBSECTION_VERSION) {
    throw reader.error(
      'ERR_VERSION',
      `${name} has version ${version}; only ${SUBSECTION_VERSION} is known`,
      at,
    );
  }
  if (name === CAPABILITIES) return { capabilities: await parseCapabilities(reader) };
  if (name === UUID) {
    await reader.ensure(UUID_LENGTH);
    return { uuid: reader.bytes(UUID_LENGTH).slice() };
  }
  await reader.ensure(4);
  return { targetPageBits: reader.u32() };
}

async function parseCapabilities(reader: ByteReader): Promise<string[]> {
  await reader.ensure(4);
  const at = reader.position;
  const count = reader.u32();
  if (count > MAX_CAPABILITIES) {
    throw reader.error(
      'ERR_STREAM',
      `${count} capabilities; at most ${MAX_CAPABILITIES} are allowed`,
      at,
    );
  }
  const names: string[] = [];
  for (let i = 0; i < count; i++) names.push(await readName(reader, 'a capability'));
  return names;
}

/**
 * The bytes of a CONFIGURATION section, its subsections in QEMU's order.
 *
 * @throws MultifdError ERR_OPTION for a name that is empty or longer than 255 bytes, or a uuid
 *   that has not 16 bytes.
 */
export function serialiseConfiguration(configuration: Configuration): Uint8Array {
  const { machine, capabilities, uuid, targetPageBits } = configuration;
  const encodedMachine = new TextEncoder().encode(machine);
  if (encodedMachine.length === 0 || encodedMachine.length > MAX_MACHINE_LENGTH) {
    throw new MultifdError(
      'ERR_OPTION',
      `the machine type takes ${encodedMachine.length} bytes; it must take 1 to ` +
        `${MAX_MACHINE_LENGTH}`,
    );
  }
  if (uuid !== undefined && uuid.length !== UUID_LENGTH) {
    throw new MultifdError(
      'ERR_OPTION',
      `the uuid has ${uuid.length} bytes; it must have ${UUID_LENGTH}`,
    );
  }
  const writer = new ByteWriter()
    .u8(Section.CONFIGURATION)
    .u32(encodedMachine.length)
    .bytes(encodedMachine);
  if (targetPageBits !== undefined) subsection(writer, TARGET_PAGE_BITS).u32(targetPageBits);
  if (capabilities.length > 0) {
    subsection(writer, CAPABILITIES).u32(capabilities.length);
    for (const name of capabilities) writer.name(name);
  }
  if (uuid !== undefined) subsection(writer, UUID).bytes(uuid);
  return writer.finish();
}

function subsection(writer: ByteWriter, name: string): ByteWriter {
  return writer.u8(Section.SUBSECTION).name(name).u32(SUBSECTION_VERSION);
}

/** The same configuration with the capability; for `mapped-ram` when a stream becomes an image. */
export function withCapability(configuration: Configuration, name: string): Configuration {
  const { capabilities } = configuration;
  return capabilities.includes(name)
    ? configuration
    : { ...configuration, capabilities: [...capabilities, name] };
}

/**
 * The same configuration without the capability; for `mapped-ram` when an image becomes a stream.
 */
export function withoutCapability(configuration: Configuration, name: string): Configuration {
  return {
    ...configuration,
    capabilities: configuration.capabilities.filter((one) => one !== name),
  };
}
