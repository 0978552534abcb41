import type { MultifdError } from '../../util/errors.ts';
import type { ByteReader } from '../byte-reader.ts';
import type { OtherSection } from './section.ts';

/** The bytes of sections beside "ram" that have come in all, and how many may. */
export interface Budget {
  taken: number;
  readonly most: number;
}

/** Reads a section beside "ram", and hands on all that is read, verbatim. */
export class SectionBytes {
  readonly #reader: ByteReader;
  readonly #section: OtherSection;
  readonly #take: (chunk: Uint8Array) => void | Promise<void>;
  readonly #budget: Budget;

  /** @param take told of all bytes, in order; each piece is only valid during the call. */
  constructor(
    reader: ByteReader,
    section: OtherSection,
    take: (chunk: Uint8Array) => void | Promise<void>,
    budget: Budget,
  ) {
    this.#reader = reader;
    this.#section = section;
    this.#take = take;
    this.#budget = budget;
  }

  async u8(): Promise<number> {
    return (await this.fields(1)).getUint8(0);
  }

  /** The next `count` bytes, at most 64 KiB; valid until the next call. */
  async fields(count: number): Promise<DataView> {
    await this.#reader.ensure(count);
    const bytes = this.#reader.bytes(count);
    await this.put(bytes);
    return new DataView(bytes.buffer, bytes.byteOffset, count);
  }

  /** Hands on the next `length` bytes. */
  async pass(length: number): Promise<void> {
    for (let left = length; left > 0; ) {
      await this.#reader.ensure(1);
      const bytes = this.#reader.bytes(Math.min(left, this.#reader.buffered));
      left -= bytes.length;
      await this.put(bytes);
    }
  }

  /** Hands on bytes that have been read already. */
  async put(bytes: Uint8Array): Promise<void> {
    this.#budget.taken += bytes.length;
    if (this.#budget.taken > this.#budget.most)
      throw this.#reader.error(
        'ERR_STREAM',
        `sections beside "ram" take more than the ${this.#budget.most} bytes that ` +
          `maxDeviceState allows, with that of ${this.#section.idstr}`,
      );
    await this.#take(bytes);
  }

  /** A be64 length in fields. @throws MultifdError ERR_STREAM for one beyond the budget. */
  count(fields: DataView, at: number): number {
    const value = fields.getBigUint64(at);
    if (value > BigInt(this.#budget.most)) throw this.malformed(`a length of ${value} bytes`);
    return Number(value);
  }

  malformed(what: string): MultifdError {
    const { idstr, kind, version } = this.#section;
    return this.#reader.error(
      'ERR_STREAM',
      `the ${kind.toUpperCase()} section of ${idstr}, version ${version}, is not what it was ` +
        `known as: it has ${what}`,
    );
  }
}
