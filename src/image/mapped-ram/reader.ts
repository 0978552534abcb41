import { answering, givenBytes, givenObject, integer } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import { GrowingBytes } from '../../util/bytes.ts';
import {
  bitmapLength,
  DEFAULT_PAGE_SIZE,
  type OtherBytes,
  OtherCollector,
  type OtherDevice,
  parseMainStream,
  readTail,
  type Configuration,
  type MainStreamHandler,
  type RamBlock,
  type TailSection,
} from '../../stream/index.ts';
import { hasBitsPast } from './bitmap.ts';
import { readFully, type RandomAccess, verifyAccess } from '../../files/random-access.ts';
import type { ImageBlock, ImageOptions, ImageReader } from '../formats.ts';
import type { Head } from '../head.ts';
import { trueLengths } from './records.ts';

/** What is known of an image once it has been opened. */
interface ImageContent {
  readonly configuration: Configuration;
  readonly pageSize: number;
  readonly blocks: readonly ImageBlock[];
  readonly tail: { readonly offset: number; readonly length: number };
  readonly sections: readonly TailSection[] | undefined;
  readonly tailBytes: Uint8Array;
  readonly others: OtherCollector;
}

/** Opens a mapped-ram image. Throws what openImage throws. */
export async function readMappedRam(head: Head, options: ImageOptions): Promise<ImageReader> {
  return new MappedRamReader(head.access, await parseImage(head, options.maxDeviceState));
}

class MappedRamReader implements ImageReader {
  readonly configuration: Configuration;
  readonly pageSize: number;
  readonly blocks: readonly ImageBlock[];
  readonly tail: { readonly offset: number; readonly length: number };
  readonly sections: readonly TailSection[] | undefined;
  readonly #others: OtherCollector;
  readonly #access: RandomAccess;
  readonly #tailBytes: Uint8Array;

  constructor(access: RandomAccess, content: ImageContent) {
    this.#access = access;
    this.configuration = content.configuration;
    this.pageSize = content.pageSize;
    this.blocks = content.blocks;
    this.tail = content.tail;
    this.sections = content.sections;
    this.#tailBytes = content.tailBytes;
    this.#others = content.others;
  }

  get others(): OtherBytes {
    return this.#others;
  }

  get name(): string {
    return this.#access.name;
  }

  get fd(): number | undefined {
    return this.#access.fd;
  }

  async sizes(): Promise<{ fileSize: number; sizeOnDisk: number | null }> {
    return { fileSize: this.#access.size, sizeOnDisk: (await this.#access.sizeOnDisk?.()) ?? null };
  }

  get otherDevices(): readonly OtherDevice[] {
    return this.#others.devices;
  }

  readBitmap(block: ImageBlock): Promise<Uint8Array> {
    return answering(() => this.#readBitmap(block));
  }

  async #readBitmap(block: ImageBlock): Promise<Uint8Array> {
    const { id, usedLength, bitmapOffset, ignored } = givenBlock(block);
    const bitmap = new Uint8Array(bitmapLength(usedLength, this.pageSize));
    if (ignored) return bitmap;
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

  async readTail(): Promise<Uint8Array> {
    return this.#tailBytes;
  }

  async readDevices(): Promise<Uint8Array> {
    return this.#others.describedWith(this.#tailBytes);
  }

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

async function parseImage(head: Head, maxTail: number | undefined): Promise<ImageContent> {
  const blocks: Array<Omit<ImageBlock, 'trueLength'>> = [];
  const tailBytes = new GrowingBytes();
  const others = new OtherCollector();
  let pageSize: number | undefined;
  const handler: MainStreamHandler = {
    configuration: ignore,
    blocks(list) {
      for (const block of list) blocks.push(placesOf(block));
      pageSize = list.find(({ mapped }) => mapped !== undefined)?.mapped?.pageSize;
    },
    other: (section, chunk) => others.take(section, chunk),
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
  const summary = await parseMainStream(head.reader(), handler, limits);
  const tail = readTail(others.describedWith(tailBytes.bytes));
  const size = pageSize ?? DEFAULT_PAGE_SIZE;
  const lengths = trueLengths(
    tail.records(),
    blocks.map((block) => block.usedLength),
    size,
  );
  return {
    configuration: summary.configuration,
    pageSize: size,
    blocks: blocks.map((block, index) => ({
      ...block,
      trueLength: lengths[index] ?? block.usedLength,
    })),
    tail: { offset: summary.tailOffset, length: summary.tailLength },
    sections: tail.sections,
    tailBytes: tailBytes.bytes,
    others,
  };
}

function placesOf({ id, usedLength, address, mapped }: RamBlock): Omit<ImageBlock, 'trueLength'> {
  return {
    id,
    usedLength,
    ...(address !== undefined && { address }),
    ignored: mapped === undefined,
    bitmapOffset: mapped?.bitmapOffset ?? 0,
    pagesOffset: mapped?.pagesOffset ?? 0,
  };
}

function ignore(): void {}
