import { answering, givenBytes, givenObject, integer } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import { GrowingBytes } from '../../util/bytes.ts';
import {
  bitmapLength,
  MIN_PAGE_SIZE,
  parseMainStream,
  readTail,
  type Configuration,
  type MainStreamHandler,
  type MappedRegion,
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
  let pageSize = MIN_PAGE_SIZE;
  const handler: MainStreamHandler = {
    configuration: ignore,
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
  const summary = await parseMainStream(head.reader(), handler, limits);
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
