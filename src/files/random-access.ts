import { MultifdError } from '../util/errors.ts';

/**
 * Bytes that can be read anywhere, in any order, by several reads at a time. All offsets and
 * lengths in bytes.
 */
export interface RandomAccess {
  /** What errors call it. */
  readonly name: string;
  /** Bytes, as of when it was opened. */
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
  /**
   * Throws if what was read may be of more than one state of it. Called behind the last read,
   * before anything made of it counts. Without it, {@link read} is trusted to see that.
   */
  verify?(): Promise<void>;
  /** Called once, when nothing more is read. */
  close(): Promise<void>;
}

/**
 * Fills all of `into` from `offset` on.
 *
 * @throws MultifdError ERR_IMAGE if there are not that many bytes; and what `read` throws.
 */
export async function readFully(
  access: RandomAccess,
  into: Uint8Array,
  offset: number,
): Promise<void> {
  let filled = 0;
  while (filled < into.length) {
    const count = await readSome(access, offset + filled, into.subarray(filled));
    if (count === 0)
      throw new MultifdError('ERR_IMAGE', `${access.name} was cut short`, {
        offset: offset + filled,
      });
    filled += count;
  }
}

/**
 * A read whose answer is checked: when the caller's function does not say how much it has read,
 * what is missing would be taken for zeros.
 */
async function readSome(access: RandomAccess, offset: number, into: Uint8Array): Promise<number> {
  const count = await attempt(access, 'read', () => access.read(offset, into), offset);
  if (Number.isInteger(count) && count >= 0 && count <= into.length) return count;
  const answer = `it says that it has read ${String(count)} of ${into.length} bytes`;
  throw new MultifdError('ERR_OPTION', `cannot read ${access.name}: ${answer}`, { offset });
}

/** Asks whether what was read is of one state. @throws MultifdError ERR_IO, or `verify`'s own. */
export async function verifyAccess(access: RandomAccess): Promise<void> {
  await attempt(access, 'verify', async () => access.verify?.());
}

/** What a caller's own code throws may be anything. */
async function attempt<T>(
  { name }: RandomAccess,
  verb: string,
  work: () => Promise<T>,
  offset?: number,
): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof MultifdError) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new MultifdError('ERR_IO', `cannot ${verb} ${name}: ${why}`, { offset, cause: thrown });
  }
}

/** Random access as the source of a ByteReader, whose positions are offsets. */
export class AccessSource {
  readonly #access: RandomAccess;
  #position: number;

  constructor(access: RandomAccess, position: number) {
    this.#access = access;
    this.#position = position;
  }

  async read(into: Uint8Array): Promise<number> {
    const count = await readSome(this.#access, this.#position, into);
    this.#position += count;
    return count;
  }

  seek(position: number): void {
    this.#position = position;
  }
}
