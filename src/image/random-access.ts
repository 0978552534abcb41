import { MultifdError } from '../errors.ts';
import type { ByteSource } from '../stream/index.ts';

/** Bytes that can be read anywhere, in any order, by several reads at a time. All offsets and lengths in bytes. */
export interface RandomAccess {
  /** What errors call it. */
  readonly name: string;
  readonly size: number;
  /** Of a file: its descriptor, for positioned reads from any thread; valid until {@link close}. */
  readonly fd?: number;
  /**
   * Fills the beginning of `into` with what is at `offset`.
   * @returns how much was read: 1 byte or more, 0 only at the end.
   */
  read(offset: number, into: Uint8Array): Promise<number>;
  /** What it takes on a disk, where that can be told; holes take nothing. */
  sizeOnDisk?(): Promise<number>;
  close(): Promise<void>;
}

/**
 * Fills all of `into` from `offset` on.
 *
 * @throws MultifdError ERR_IMAGE if there are not that many bytes; and what `read` throws.
 */
export async function readFully(access: RandomAccess, into: Uint8Array, offset: number): Promise<void> {
  let filled = 0;
  while (filled < into.length) {
    const count = await access.read(offset + filled, into.subarray(filled));
    if (count === 0) throw new MultifdError('ERR_IMAGE', 'the file was cut short', { offset: offset + filled });
    filled += count;
  }
}

/** Random access as the source of a ByteReader, whose positions are offsets. */
export class AccessSource implements ByteSource {
  readonly #access: RandomAccess;
  #position: number;

  constructor(access: RandomAccess, position: number) {
    this.#access = access;
    this.#position = position;
  }

  async read(into: Uint8Array): Promise<number> {
    const count = await this.#access.read(this.#position, into);
    this.#position += count;
    return count;
  }

  seek(position: number): void {
    this.#position = position;
  }
}
