import { FOREIGN_BYTES } from './foreign.ts';
import { AccessSource, type RandomAccess } from '../files/random-access.ts';
import { ByteReader, type ByteSource, parseStreamHeader, STREAM_MAGIC } from '../stream/index.ts';
import type { Configuration } from '../stream/index.ts';

/** Bytes; as much as a reader of the stream asks for at once. */
const HEAD_LENGTH = 64 * 1024;
/** Bytes; what formats are told apart by fits in it, except for what a configuration says. */
const LEAST = FOREIGN_BYTES;

/**
 * The beginning of a file, by which its format is known. It is read once: whoever reads on from
 * {@link reader} gets these bytes again.
 */
export class Head {
  readonly access: RandomAccess;
  /** Where it begins in the file, in bytes. */
  readonly offset: number;
  /** At least {@link FOREIGN_BYTES}, if there are as many. */
  readonly bytes: Uint8Array;
  #configuration: Promise<Configuration> | undefined;

  private constructor(access: RandomAccess, offset: number, bytes: Uint8Array) {
    this.access = access;
    this.offset = offset;
    this.bytes = bytes;
  }

  /** @throws MultifdError what `read` throws. */
  static async read(access: RandomAccess, offset: number): Promise<Head> {
    const source = new AccessSource(access, offset);
    const bytes = new Uint8Array(HEAD_LENGTH);
    let length = 0;
    while (length < LEAST) {
      const count = await source.read(bytes.subarray(length));
      if (count === 0) break;
      length += count;
    }
    return new Head(access, offset, bytes.subarray(0, length));
  }

  /** A reader of all that is in the file from the head's offset on. */
  reader(): ByteReader {
    return new ByteReader(new HeadSource(this), { position: this.offset, origin: 'file' });
  }

  /** Whether it begins as a migration stream does, with `QEVM`. */
  get isStream(): boolean {
    const { buffer, byteOffset, length } = this.bytes;
    return length >= 4 && new DataView(buffer, byteOffset).getUint32(0) === STREAM_MAGIC;
  }

  /**
   * The configuration that a migration stream begins with; undefined for what is no such stream.
   *
   * @throws MultifdError what parseStreamHeader throws for what begins with `QEVM` and is broken
   *   after that.
   */
  async configuration(): Promise<Configuration | undefined> {
    if (!this.isStream) return undefined;
    return await (this.#configuration ??= parseStreamHeader(this.reader()));
  }
}

/** What has been read of a file already, then the rest of it. */
class HeadSource implements ByteSource {
  #bytes: Uint8Array;
  readonly #rest: AccessSource;

  constructor({ access, offset, bytes }: Head) {
    this.#bytes = bytes;
    this.#rest = new AccessSource(access, offset + bytes.length);
  }

  read(into: Uint8Array): number | Promise<number> {
    if (this.#bytes.length === 0) return this.#rest.read(into);
    const some = this.#bytes.subarray(0, into.length);
    into.set(some);
    this.#bytes = this.#bytes.subarray(some.length);
    return some.length;
  }

  seek(position: number): void {
    this.#bytes = this.#bytes.subarray(this.#bytes.length);
    this.#rest.seek(position);
  }
}
