import type { FileHandle } from 'node:fs/promises';
import { type ImagePlan, trueLengths } from '../image/index.ts';
import type { PageSink } from '../blocks/page-targets.ts';
import { readFully, writeFully } from '../files/io.ts';
import { readTail } from '../stream/index.ts';
import { MultifdError } from '../util/errors.ts';
import { temporaryFile, writeOutput } from './standard.ts';

/** Bytes that are written at a time: in between, a source that waits is told that all is well. */
const PIECE = 64 * 1024;

/** For the pages of other blocks. */
const NOWHERE: PageSink = { write() {}, zero() {} };

/**
 * A place for a migration whose one block goes to standard output. Pages come in any order: they
 * are kept in a temporary file until all are there, and the source is told that all is well when
 * they have been written.
 */
export class BlockOutput {
  readonly #wanted: string | undefined;
  readonly #signal: AbortSignal;
  #plan: ImagePlan | undefined;
  #index = 0;
  #handle: FileHandle | undefined;

  /** @param wanted the block's name; undefined: the only one that there is. */
  constructor(wanted: string | undefined, signal: AbortSignal) {
    this.#wanted = wanted;
    this.#signal = signal;
  }

  /** @throws MultifdError ERR_NO_BLOCK unless it is clear which block is wanted. */
  async begin(plan: ImagePlan): Promise<readonly PageSink[]> {
    const { blocks, pageSize } = plan;
    const wanted = this.#wanted ?? (blocks.length === 1 ? blocks[0]!.id : undefined);
    this.#index = blocks.findIndex(({ id }) => id === wanted);
    if (this.#index < 0) {
      const ids = blocks.map(({ id }) => id).join(', ');
      const which =
        this.#wanted === undefined
          ? '--block says which of them goes to standard output'
          : `there is no block ${this.#wanted}`;
      throw new MultifdError('ERR_NO_BLOCK', `the source has ${ids}: ${which}`);
    }
    this.#plan = plan;
    this.#handle = await temporaryFile();
    const sink = pageFile(this.#handle, blocks[this.#index]!.usedLength, pageSize);
    return blocks.map((_, index) => (index === this.#index ? sink : NOWHERE));
  }

  async commit(tail: Uint8Array): Promise<void> {
    const { blocks, pageSize } = this.#plan!;
    const usedLengths = blocks.map(({ usedLength }) => usedLength);
    const lengths = trueLengths(readTail(tail).records(), usedLengths, pageSize);
    const length = lengths[this.#index]!;
    const piece = new Uint8Array(PIECE);
    for (let at = 0; at < length; at += PIECE) {
      if (this.#signal.aborted)
        throw new MultifdError('ERR_CANCELLED', 'writing to standard output was cancelled');
      const bytes = piece.subarray(0, Math.min(PIECE, length - at));
      await readFully(this.#handle!, bytes, at);
      await writeOutput(bytes);
    }
    await this.discard();
  }

  async discard(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }
}

/** Pages in a file of their own, which has holes where they are zero. */
function pageFile(handle: FileHandle, length: number, pageSize: number): PageSink {
  const written = new Uint8Array(Math.ceil(length / pageSize / 8));
  const zeros = new Uint8Array(pageSize);
  const each = (offset: number, bytes: number, use: (page: number) => void): void => {
    for (let page = offset / pageSize; page < (offset + bytes) / pageSize; page++) use(page);
  };
  const grown = handle.truncate(length);
  return {
    async write(offset, pages) {
      await grown;
      each(offset, pages.length, (page) => {
        written[page >> 3]! |= 1 << (page & 7);
      });
      await writeFully(handle, pages, offset);
    },
    async zero(offset, bytes) {
      const stale: number[] = [];
      each(offset, bytes, (page) => {
        if ((written[page >> 3]! & (1 << (page & 7))) !== 0) stale.push(page);
      });
      for (const page of stale) await writeFully(handle, zeros, page * pageSize);
    },
  };
}
