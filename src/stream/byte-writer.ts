import { MultifdError } from '../util/errors.ts';
import { CONTROL_CHARACTER } from './names.ts';

const encoder = new TextEncoder();

/** Collects big-endian fields; the counterpart of ByteReader. */
export class ByteWriter {
  #buffer = new Uint8Array(256);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;

  u8(value: number): this {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value);
    return this;
  }

  /** A non-negative safe integer. */
  u64(value: number): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, BigInt(value));
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length);
    this.#buffer.set(value, at);
    return this;
  }

  /**
   * u8 length, then the name in UTF-8.
   *
   * @throws MultifdError ERR_OPTION for a name that is empty, longer than 255 bytes, or has a
   *   control character.
   */
  name(value: string): this {
    const encoded = encoder.encode(value);
    if (encoded.length === 0 || encoded.length > 255) {
      throw new MultifdError(
        'ERR_OPTION',
        `the name "${value}" takes ${encoded.length} bytes; it must take 1 to 255`,
      );
    }
    if (CONTROL_CHARACTER.test(value)) {
      throw new MultifdError(
        'ERR_OPTION',
        `the name ${JSON.stringify(value)} has a control character`,
      );
    }
    return this.u8(encoded.length).bytes(encoded);
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  /** Makes room, in a new buffer if need be: call it before `#view` is used. */
  #grow(count: number): number {
    const at = this.#length;
    this.#length = at + count;
    if (this.#length > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#buffer.length * 2));
      grown.set(this.#buffer);
      this.#buffer = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}
