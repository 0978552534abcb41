import type { FileHandle } from 'node:fs/promises';
import { ifThere, openFile } from '#files';
import { MultifdError } from '../../util/errors.ts';
import type { Configuration } from '../../stream/index.ts';
import { hasBitsPast } from './bitmap.ts';
import { FileOutput } from '../file-output.ts';
import { io, readFully, writeFully } from '../../files/io.ts';
import { planImage, type ImagePlan, type ImageShape } from './layout.ts';
import type { Stamp } from '../../files/local-file.ts';

export interface ImageWriterOptions {
  /** Replace a file that is there already; default false. */
  force?: boolean;
  /**
   * Where the stream starts in the file, in bytes; default 0. Bytes before it are kept from the
   * file that is replaced, as QEMU does.
   */
  offset?: number;
}

const COPY_LENGTH = 1024 * 1024;

/**
 * Writes a mapped-ram image that is complete or absent. The calls come in this order:
 *
 *     create, begin, [pages by any thread at pagesOffset + offset in fd], [putBetween],
 *     writeBitmaps, appendTail one or more times, commit
 *
 * with {@link discard} at any point instead. Pages that are not written stay holes. `fd` may be
 * written to from several threads at once, with positioned writes, until `commit` or `discard` is
 * called.
 */
export class ImageWriter {
  readonly #output: FileOutput;
  readonly #offset: number;
  #plan: ImagePlan | undefined;
  #bitmapsWritten = false;
  #tailLength = 0;
  /** Bytes of sections beside "ram", by which all behind them is farther back than planned. */
  #between = 0;

  private constructor(output: FileOutput, offset: number) {
    this.#output = output;
    this.#offset = offset;
  }

  /** @throws MultifdError ERR_EXISTS if the file is there and `force` is not set; ERR_IO. */
  static async create(path: string, options: ImageWriterOptions = {}): Promise<ImageWriter> {
    const { force = false, offset = 0 } = options;
    const output = await FileOutput.create(path, { force });
    try {
      if (offset > 0) await copyBeginning(path, output.handle, offset);
    } catch (error) {
      await output.discard();
      throw error;
    }
    return new ImageWriter(output, offset);
  }

  /** The open file; valid until {@link commit} or {@link discard}. */
  get fd(): number {
    return this.#output.handle.fd;
  }

  /**
   * Plans the file and writes everything around bitmaps and pages.
   *
   * @param before sections that come before "ram".
   * @throws MultifdError what planImage throws; ERR_IO.
   */
  async begin(
    configuration: Configuration,
    blocks: ImageShape['blocks'],
    pageSize: number,
    before: Uint8Array = new Uint8Array(0),
  ): Promise<ImagePlan> {
    const plan = planImage({ configuration, blocks, pageSize, offset: this.#offset, before });
    this.#plan = plan;
    for (const { position, bytes } of plan.pieces)
      await writeFully(this.#output.handle, bytes, position);
    return plan;
  }

  /**
   * Writes each block's bitmap, in the order of the blocks: one bit per page, in little-endian
   * 64-bit words, set for each page that is in the file.
   *
   * @throws MultifdError ERR_INTERNAL for bitmaps that do not fit the blocks; ERR_IO.
   */
  async writeBitmaps(bitmaps: readonly Uint8Array[]): Promise<void> {
    const { blocks, pageSize } = this.#planned();
    for (const [index, block] of blocks.entries()) {
      const bitmap = bitmaps[index];
      if (
        bitmap?.length !== block.bitmapLength ||
        hasBitsPast(bitmap, block.usedLength / pageSize)
      ) {
        throw new MultifdError('ERR_INTERNAL', `the bitmap of ${block.id} does not fit the block`);
      }
      await writeFully(this.#output.handle, bitmap, block.bitmapOffset);
    }
    this.#bitmapsWritten = true;
  }

  /**
   * Puts sections beside "ram" between its START and its END; once, before the tail. Throws
   * MultifdError ERR_IO.
   */
  async putBetween(sections: Uint8Array): Promise<void> {
    const { betweenOffset, pieces } = this.#planned();
    this.#between = sections.length;
    await writeFully(this.#output.handle, sections, betweenOffset);
    for (const { position, bytes } of pieces)
      if (position >= betweenOffset)
        await writeFully(this.#output.handle, bytes, position + sections.length);
  }

  /**
   * Writes the next bytes of what follows the RAM: device sections, EOF, VMDESCRIPTION. Throws
   * MultifdError ERR_IO.
   */
  async appendTail(chunk: Uint8Array): Promise<void> {
    await writeFully(this.#output.handle, chunk, this.#tailOffset + this.#tailLength);
    this.#tailLength += chunk.length;
  }

  /** What was appended so far. Throws MultifdError ERR_IO. */
  async readTail(): Promise<Uint8Array> {
    const tail = new Uint8Array(this.#tailLength);
    await readFully(this.#output.handle, tail, this.#tailOffset);
    return tail;
  }

  /** Puts other pieces in the place of all that was appended. Throws MultifdError ERR_IO. */
  async replaceTail(pieces: readonly Uint8Array[]): Promise<void> {
    this.#tailLength = 0;
    for (const piece of pieces) await this.appendTail(piece);
    const end = this.#tailOffset + this.#tailLength;
    await io('set the length of the image', this.#output.handle.truncate(end));
  }

  /**
   * Puts the file on the disk and gives it its name.
   *
   * @returns what an update of the image knows it by.
   * @throws MultifdError ERR_INTERNAL if bitmaps or tail are missing; ERR_EXISTS if another file
   *   took the name; ERR_IO.
   */
  async commit(): Promise<Stamp> {
    if (!this.#bitmapsWritten || this.#tailLength === 0) {
      throw new MultifdError(
        'ERR_INTERNAL',
        'the image was to be committed without its bitmaps or its end',
      );
    }
    return this.#output.commit();
  }

  /** Removes what was written. Never throws. */
  async discard(): Promise<void> {
    await this.#output.discard();
  }

  get #tailOffset(): number {
    return this.#planned().tailOffset + this.#between;
  }

  #planned(): ImagePlan {
    if (this.#plan === undefined)
      throw new MultifdError('ERR_INTERNAL', 'the image was written to before it was begun');
    return this.#plan;
  }
}

/** Copies the first `length` bytes of the file at `path`, or as many as it has, if it is there. */
async function copyBeginning(path: string, target: FileHandle, length: number): Promise<void> {
  const source = await ifThere(openFile(path));
  if (source === undefined) return;
  try {
    const buffer = new Uint8Array(Math.min(length, COPY_LENGTH));
    for (let at = 0; at < length; ) {
      const count = await source.read(at, buffer.subarray(0, Math.min(buffer.length, length - at)));
      if (count === 0) break;
      await writeFully(target, buffer.subarray(0, count), at);
      at += count;
    }
    await source.verify();
  } finally {
    await source.close();
  }
}
