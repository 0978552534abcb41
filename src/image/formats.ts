import {
  type Configuration,
  IGNORE_SHARED,
  MAPPED_RAM,
  type OtherBytes,
  type OtherDevice,
  type TailSection,
} from '../stream/index.ts';
import { checkToken } from '../transport/adapters/admission.ts';
import { answering, givenSignal, integer } from '../util/checks.ts';
import { givenOptions, type OptionNames } from '../util/options.ts';
import { inFile, MultifdError } from '../util/errors.ts';
import type { UrlOptions } from './access/http.ts';
import { type ImageSource, openSource } from './access/open.ts';
import { firstBytes, foreignKind } from './foreign.ts';
import { Head } from './head.ts';
import { readMappedRam } from './mapped-ram/reader.ts';

// The file formats of a VM's memory, known by a file's beginning. A format is one row of `FORMATS`
// and one reader, which gives an ImageReader.

/** How an image is opened. */
export interface ImageOptions extends UrlOptions {
  /** Where the stream starts in the file, in bytes; default 0. */
  offset?: number;
  /** The most bytes of device sections (64 MiB); they are kept in memory. */
  maxDeviceState?: number;
}

/** The names of {@link ImageOptions}. */
export const IMAGE_NAMES = {
  offset: true,
  maxDeviceState: true,
  token: true,
  timeout: true,
  signal: true,
} as const satisfies OptionNames<ImageOptions>;

/** A block of an image. Offsets are absolute in the file; all lengths in bytes. */
export interface ImageBlock {
  /** The RAM block's name, as QEMU calls it: `pc.ram`. */
  readonly id: string;
  /** Whole pages. */
  readonly usedLength: number;
  /** What the file had that became this block, if a record says it; else the used length. */
  readonly trueLength: number;
  /** Where its bitmap is: one bit a page. */
  readonly bitmapOffset: number;
  /** Page p is at `pagesOffset + p * pageSize`. */
  readonly pagesOffset: number;
  /** Where the guest has it, in bytes; only in an image made with x-ignore-shared. */
  readonly address?: number;
  /** Left out by x-ignore-shared: its content is not in the file, and nothing says what it is. */
  readonly ignored: boolean;
}

/** An open image; made by {@link openImage}. */
export interface ImageReader {
  /** What the VM says about itself: machine type, uuid. */
  readonly configuration: Configuration;
  /** Bytes per page. */
  readonly pageSize: number;
  /** In the order in which the source announced them. */
  readonly blocks: readonly ImageBlock[];
  /** What follows the RAM: device sections, EOF, VMDESCRIPTION. Bytes. */
  readonly tail: { readonly offset: number; readonly length: number };
  /** The device sections; undefined if their description does not say where they are. */
  readonly sections: readonly TailSection[] | undefined;
  /**
   * Sections that are not "ram" and came before the device sections, verbatim: state that goes
   * along with the RAM, or has to be there before it.
   */
  readonly others: OtherBytes;
  /** Whose they are. */
  readonly otherDevices: readonly OtherDevice[];
  /** What errors call it. */
  readonly name: string;
  /**
   * If it is a file: its descriptor, for positioned reads from any thread; valid until {@link
   * close}.
   */
  readonly fd: number | undefined;
  /**
   * Bytes in the file, and bytes of the disk that it takes, where that can be told: holes take
   * none.
   * @throws MultifdError ERR_IO.
   */
  sizes(): Promise<{ fileSize: number; sizeOnDisk: number | null }>;
  /**
   * The bitmap of a block: one bit per page, in little-endian 64-bit words, set for each page that
   * is in the file.
   *
   * @throws MultifdError ERR_IO; ERR_IMAGE if it has bits for pages past the block's end.
   */
  readBitmap(block: ImageBlock): Promise<Uint8Array>;
  /**
   * Reads pages: fills `into` from byte `offset` of a block on. What the bitmap says is zero may be
   * anything in the file.
   *
   * @throws MultifdError ERR_IO; ERR_IMAGE if the file ends before.
   */
  readPages(block: ImageBlock, offset: number, into: ArrayBufferView): Promise<void>;
  /** All of what follows the RAM, as it was when the image was opened. */
  readTail(): Promise<Uint8Array>;
  /** The same, behind the FULL sections that came before: all that the description describes. */
  readDevices(): Promise<Uint8Array>;
  /**
   * To be called behind the last read, before anything made of what was read counts.
   *
   * @throws MultifdError ERR_IO if the image has changed since it was opened, so that what was read
   *   may be of two.
   */
  verify(): Promise<void>;
  /** Lets the file go. */
  close(): Promise<void>;
}

/**
 * Reads a file of the format, and checks everything but bitmaps and pages. The access is closed by
 * the reader that it gives, or by {@link openImage} if it throws.
 */
export type OpenFormat = (head: Head, options: ImageOptions) => Promise<ImageReader>;

/** How a format is recognised, and its reader, or why there is none. */
export type FormatRow = { recognises(head: Head): boolean | Promise<boolean> } & (
  | { readonly open: OpenFormat }
  | { readonly refused: string }
);

export type FormatName = 'mapped-ram' | 'stream';

/** In the order in which a file is asked for them. */
export const FORMATS: Readonly<Record<FormatName, FormatRow>> = {
  'mapped-ram': {
    async recognises(head) {
      return (await head.configuration())?.capabilities.includes(MAPPED_RAM) === true;
    },
    open: readMappedRam,
  },
  stream: {
    // One with other capabilities is left to the parser, which names them.
    async recognises(head) {
      const capabilities = (await head.configuration())?.capabilities;
      return capabilities?.every((name) => name === IGNORE_SHARED) === true;
    },
    refused: 'this is a migration stream without mapped-ram; make it with that capability',
  },
};

/** The row of a file's format; undefined for what no row recognises. */
async function formatOf(head: Head): Promise<FormatRow | undefined> {
  for (const format of Object.values(FORMATS)) {
    if (await format.recognises(head)) return format;
  }
  return undefined;
}

/**
 * Opens a mapped-ram image, as QEMU or this project writes them, and checks everything but bitmaps
 * and pages. It has to be closed.
 *
 * @throws MultifdError ERR_OPTION; ERR_IO for a file or Blob that can't be read; ERR_URI,
 *   ERR_CONNECT, ERR_AUTH, ERR_TIMEOUT and ERR_CANCELLED for a URL; ERR_MAGIC for a file that is
 *   something else, which the message names; ERR_IMAGE for one that is another form of stream, is
 *   cut short, or contradicts itself; ERR_VERSION, ERR_STREAM, ERR_BLOCK, ERR_BLOCK_LENGTH and
 *   ERR_UNSUPPORTED for a stream that is malformed, or has what is not handled here.
 */
export function openImage(source: ImageSource, options: ImageOptions = {}): Promise<ImageReader> {
  return answering(() => openAs(source, options, IMAGE_NAMES));
}

/**
 * The same, for a function that has more options.
 * @param names those of its options.
 */
export async function openAs<T extends ImageOptions>(
  source: ImageSource,
  options: T,
  names: OptionNames<T>,
): Promise<ImageReader> {
  const { offset = 0 } = checkImageOptions(options, names);
  const access = await openSource(source, options);
  try {
    const head = await Head.read(access, offset);
    const format = await formatOf(head);
    if (format !== undefined && 'refused' in format)
      throw new MultifdError('ERR_IMAGE', format.refused, { offset });
    if (!head.isStream) throw noStream(head);
    // A stream that no row recognises is one with capabilities that the parser names.
    return await (format?.open ?? readMappedRam)(head, options);
  } catch (error) {
    await access.close();
    throw inFile(error, access.name);
  }
}

/** Of `QEVM`. */
const STREAM_MAGIC_BYTES = 4;

/** What a file is instead. */
function noStream({ bytes, offset }: Head): MultifdError {
  const kind = foreignKind(bytes);
  if (kind !== undefined) {
    const advice = kind.advice === undefined ? '' : `; ${kind.advice}`;
    return new MultifdError('ERR_MAGIC', `this is ${kind.name}, no mapped-ram image${advice}`, {
      offset,
    });
  }
  const { length } = bytes;
  const no = 'this is no mapped-ram image';
  return length < STREAM_MAGIC_BYTES
    ? new MultifdError('ERR_IMAGE', `${no}: ${length} bytes are too short for one`, {
        offset: offset + length,
      })
    : new MultifdError('ERR_MAGIC', `${no}: it begins with ${firstBytes(bytes)}, not with QEVM`, {
        offset,
      });
}

/** What a file is to who sends it: an image, a plain file, or why it is most likely neither. */
export type SourceKind = 'image' | 'plain' | { readonly doubt: string };

/**
 * Whether a file is a mapped-ram image; and, if not, whether it holds a guest in another form, so
 * that its bytes are hardly what is meant.
 *
 * @throws MultifdError what openSource throws, and `read`.
 */
export async function sourceKind(source: ImageSource): Promise<SourceKind> {
  const access = await openSource(source);
  try {
    const head = await Head.read(access, 0);
    if (!head.isStream) {
      const kind = foreignKind(head.bytes);
      return kind?.holdsGuest === true ? { doubt: `is ${kind.name}` } : 'plain';
    }
    const format = await formatOf(head).catch((thrown: unknown) => {
      if (MultifdError.from(thrown).code === 'ERR_IO') throw thrown;
      return undefined;
    });
    return format !== undefined && 'open' in format
      ? 'image'
      : { doubt: 'begins with QEVM, as a migration stream does, and is no mapped-ram image' };
  } finally {
    await access.close();
  }
}

/**
 * Whether it is a mapped-ram image, by its beginning.
 *
 * @throws MultifdError ERR_OPTION; what {@link openImage} throws of a source that can't be read;
 *   ERR_VERSION, ERR_STREAM and ERR_UNSUPPORTED for what begins with `QEVM` and is broken after
 *   that.
 */
export function isImage(source: ImageSource, options: ImageOptions = {}): Promise<boolean> {
  return answering(async () => {
    const { offset = 0 } = checkImageOptions(options, IMAGE_NAMES);
    const access = await openSource(source, options);
    try {
      const format = await formatOf(await Head.read(access, offset));
      return format !== undefined && 'open' in format;
    } finally {
      await access.close();
    }
  });
}

/** @throws MultifdError ERR_OPTION. */
function checkImageOptions<T extends ImageOptions>(options: T, names: OptionNames<T>): T {
  const { offset, token, timeout, signal } = givenOptions('options of an image', options, names);
  if (offset !== undefined) integer("the image's offset", offset, 0, Number.MAX_SAFE_INTEGER);
  if (timeout !== undefined) integer('timeout', timeout, 1, 2 ** 31 - 1);
  checkToken(token);
  givenSignal(signal);
  return options;
}
