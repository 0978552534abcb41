import { answering, givenBytes, givenObject, givenSignal, integer } from '../../util/checks.ts';
import { checkToken } from '../../transport/adapters/admission.ts';
import { MultifdError } from '../../util/errors.ts';
import { GrowingBytes } from '../../util/bytes.ts';
import {
  bitmapLength,
  ByteReader,
  MAPPED_RAM,
  MIN_PAGE_SIZE,
  parseMainStream,
  parseStreamHeader,
  readTail,
  STREAM_MAGIC,
  type Configuration,
  type MainStreamHandler,
  type MappedRegion,
  type RamBlock,
  type TailSection,
} from '../../stream/index.ts';
import { hasBitsPast } from './bitmap.ts';
import type { UrlOptions } from '../access/http.ts';
import { openSource, type ImageSource } from '../access/open.ts';
import {
  AccessSource,
  readFully,
  type RandomAccess,
  verifyAccess,
} from '../../files/random-access.ts';
import { trueLengths } from './records.ts';

export interface ImageOptions extends UrlOptions {
  /** Where the stream starts in the file, in bytes; default 0. */
  offset?: number;
  /** The most bytes of device sections (64 MiB); they are kept in memory. */
  maxDeviceState?: number;
}

/** A block of an image. Offsets are absolute in the file; all lengths in bytes. */
export interface ImageBlock {
  readonly id: string;
  readonly usedLength: number;
  /** What the file had that became this block, if a record says it; else the used length. */
  readonly trueLength: number;
  readonly bitmapOffset: number;
  /** Page p is at `pagesOffset + p * pageSize`. */
  readonly pagesOffset: number;
}

/** What is known of an image once it has been opened. */
interface ImageContent {
  readonly configuration: Configuration;
  readonly pageSize: number;
  readonly blocks: readonly ImageBlock[];
  readonly tail: { readonly offset: number; readonly length: number };
  readonly sections: readonly TailSection[] | undefined;
  readonly tailBytes: Uint8Array;
}

/**
 * Opens a mapped-ram image, as QEMU or this project writes them, and checks everything but bitmaps
 * and pages.
 *
 * @throws MultifdError what openSource throws; ERR_IMAGE for a file that is another form of
 *   stream, is cut short, or contradicts itself; and what parseMainStream throws for a stream that
 *   is malformed.
 */
export function openImage(source: ImageSource, options: ImageOptions = {}): Promise<ImageReader> {
  return answering(() => open(source, checkImageOptions(options)));
}

/** @throws MultifdError ERR_OPTION. */
export function checkImageOptions<T extends ImageOptions>(options: T): T {
  const { offset, token, timeout, signal } = givenObject('options of an image', options);
  if (offset !== undefined) integer("the image's offset", offset, 0, Number.MAX_SAFE_INTEGER);
  if (timeout !== undefined) integer('timeout', timeout, 1, 2 ** 31 - 1);
  checkToken(token);
  givenSignal(signal);
  return options;
}

async function open(source: ImageSource, options: ImageOptions): Promise<ImageReader> {
  const { offset = 0 } = options;
  const access = await openSource(source, options);
  try {
    return new ImageReader(access, await parseImage(access, offset, options.maxDeviceState));
  } catch (error) {
    await access.close();
    throw error;
  }
}

/**
 * Whether it is a mapped-ram image, by its beginning.
 *
 * @throws MultifdError what openSource throws; and what parseStreamHeader throws for what begins
 *   with `QEVM` and is broken after that.
 */
export function isImage(source: ImageSource, options: ImageOptions = {}): Promise<boolean> {
  return answering(() => startsAsImage(source, checkImageOptions(options)));
}

async function startsAsImage(source: ImageSource, options: ImageOptions): Promise<boolean> {
  const { offset = 0 } = options;
  const access = await openSource(source, options);
  try {
    const magic = new DataView(new ArrayBuffer(4));
    if (access.size - offset < magic.byteLength) return false;
    await readFully(access, new Uint8Array(magic.buffer), offset);
    if (magic.getUint32(0) !== STREAM_MAGIC) return false;
    const { capabilities } = await parseStreamHeader(accessReader(access, offset));
    return capabilities.includes(MAPPED_RAM);
  } finally {
    await access.close();
  }
}

/** An open image; made by {@link openImage}. */
export class ImageReader implements Omit<ImageContent, 'tailBytes'> {
  readonly configuration: Configuration;
  /** Bytes per page. */
  readonly pageSize: number;
  readonly blocks: readonly ImageBlock[];
  /** What follows the RAM: device sections, EOF, VMDESCRIPTION. Bytes. */
  readonly tail: { readonly offset: number; readonly length: number };
  /** The device sections; undefined if their description does not say where they are. */
  readonly sections: readonly TailSection[] | undefined;
  readonly #access: RandomAccess;
  readonly #tailBytes: Uint8Array;

  /** @internal */
  constructor(access: RandomAccess, content: ImageContent) {
    this.#access = access;
    this.configuration = content.configuration;
    this.pageSize = content.pageSize;
    this.blocks = content.blocks;
    this.tail = content.tail;
    this.sections = content.sections;
    this.#tailBytes = content.tailBytes;
  }

  /** What errors call it. */
  get name(): string {
    return this.#access.name;
  }

  /**
   * If it is a file: its descriptor, for positioned reads from any thread; valid until {@link
   * close}.
   */
  get fd(): number | undefined {
    return this.#access.fd;
  }

  /**
   * Bytes in the file, and bytes of the disk that it takes, where that can be told: holes take
   * none. Throws MultifdError ERR_IO.
   */
  async sizes(): Promise<{ fileSize: number; sizeOnDisk: number | null }> {
    return { fileSize: this.#access.size, sizeOnDisk: (await this.#access.sizeOnDisk?.()) ?? null };
  }

  /**
   * The bitmap of a block: one bit per page, in little-endian 64-bit words, set for each page that
   * is in the file.
   *
   * @throws MultifdError ERR_IO; ERR_IMAGE if it has bits for pages past the block's end.
   */
  readBitmap(block: ImageBlock): Promise<Uint8Array> {
    return answering(() => this.#readBitmap(block));
  }

  async #readBitmap(block: ImageBlock): Promise<Uint8Array> {
    const { id, usedLength, bitmapOffset } = givenBlock(block);
    const bitmap = new Uint8Array(bitmapLength(usedLength, this.pageSize));
    await readFully(this.#access, bitmap, bitmapOffset);
    if (hasBitsPast(bitmap, usedLength / this.pageSize)) {
      throw new MultifdError(
        'ERR_IMAGE',
        `the bitmap of ${id} has bits for pages past the block's end`,
        { offset: bitmapOffset },
      );
    }
    return bitmap;
  }

  /**
   * Reads pages: fills `into` from byte `offset` of a block on. What the bitmap says is zero may be
   * anything in the file.
   *
   * @throws MultifdError ERR_IO; ERR_IMAGE if the file ends before.
   */
  readPages(block: ImageBlock, offset: number, into: ArrayBufferView): Promise<void> {
    return answering(() => {
      const { pagesOffset } = givenBlock(block);
      const bytes = givenBytes('where pages are read to', into);
      return readFully(
        this.#access,
        bytes,
        pagesOffset + integer('offset', offset, 0, Number.MAX_SAFE_INTEGER),
      );
    });
  }

  /** All of what follows the RAM, as it was when the image was opened. */
  async readTail(): Promise<Uint8Array> {
    return this.#tailBytes;
  }

  /**
   * To be called behind the last read, before anything made of what was read counts.
   *
   * @throws MultifdError ERR_IO if the image has changed since it was opened, so that what was read
   *   may be of two.
   */
  async verify(): Promise<void> {
    await verifyAccess(this.#access);
  }

  async close(): Promise<void> {
    await this.#access.close();
  }
}

/** @throws MultifdError ERR_OPTION. */
function givenBlock(block: ImageBlock): ImageBlock {
  const { usedLength, bitmapOffset, pagesOffset } = givenObject(
    'a block',
    block,
    "one of the image's blocks",
  );
  for (const number of [usedLength, bitmapOffset, pagesOffset])
    integer('a block, its places', number, 0, Number.MAX_SAFE_INTEGER);
  return block;
}

function accessReader(access: RandomAccess, offset: number): ByteReader {
  return new ByteReader(new AccessSource(access, offset), { position: offset, origin: 'file' });
}

async function parseImage(
  access: RandomAccess,
  offset: number,
  maxTail?: number,
): Promise<ImageContent> {
  const blocks: Array<Omit<ImageBlock, 'trueLength'>> = [];
  const tailBytes = new GrowingBytes();
  let pageSize = MIN_PAGE_SIZE;
  const handler: MainStreamHandler = {
    configuration({ capabilities }) {
      if (capabilities.includes(MAPPED_RAM)) return;
      throw new MultifdError(
        'ERR_IMAGE',
        'the file is a migration stream without mapped-ram; make it with that capability',
        { offset },
      );
    },
    blocks(list) {
      for (const block of list) {
        const { pageSize: size, ...places } = regionOf(block);
        pageSize = size;
        blocks.push({ id: block.id, usedLength: block.usedLength, ...places });
      }
    },
    tail(chunk) {
      tailBytes.append(chunk);
    },
    command: ignore,
    endOfSection: ignore,
    // The parser refuses these in a mapped-ram file.
    resize: ignore,
    zeroPage: ignore,
    page: ignore,
    flush: ignore,
  };
  const limits = maxTail === undefined ? {} : { maxTail };
  const summary = await parseMainStream(accessReader(access, offset), handler, limits);
  const tail = readTail(tailBytes.bytes);
  const lengths = trueLengths(
    tail.records(),
    blocks.map((block) => block.usedLength),
    pageSize,
  );
  return {
    configuration: summary.configuration,
    pageSize,
    blocks: blocks.map((block, index) => ({
      ...block,
      trueLength: lengths[index] ?? block.usedLength,
    })),
    tail: { offset: summary.tailOffset, length: summary.tailLength },
    sections: tail.sections,
    tailBytes: tailBytes.bytes,
  };
}

function regionOf({ id, mapped }: RamBlock): MappedRegion {
  if (mapped === undefined)
    throw new MultifdError('ERR_INTERNAL', `the block ${id} was read without its places`);
  return mapped;
}

function ignore(): void {}
