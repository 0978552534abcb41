/** An object of a description, whose keys are yet to be checked. */
export type Json = Readonly<Record<string, unknown>>;

/**
 * The bytes are not what the description says, or the description is none. Thrown and caught by
 * those who follow descriptions; never leaves this folder.
 */
export class Mismatch extends Error {}

/** Reads bytes in order; every method throws {@link Mismatch} for what is not there. */
export class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  position: number;
  readonly #end: number;

  /** From `position` up to `end` of `bytes`; by default all of them. */
  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = position;
    this.#end = end;
  }

  get atEnd(): boolean {
    return this.position === this.#end;
  }

  expect(byte: number): void {
    if (this.#bytes[this.skip(1)] !== byte) throw new Mismatch();
  }

  u32(): number {
    return this.#view.getUint32(this.skip(4));
  }

  name(): string {
    const length = this.#view.getUint8(this.skip(1));
    const at = this.skip(length);
    return new TextDecoder().decode(this.#bytes.subarray(at, at + length));
  }

  /** Gives where the skipped bytes begin. */
  skip(count: number): number {
    const at = this.position;
    if (count > this.#end - at) throw new Mismatch();
    this.position = at + count;
    return at;
  }
}

export function asObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null) throw new Mismatch();
  return value as Json;
}

/** A list that may be missing. */
export function asList(value: unknown): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new Mismatch();
  return value;
}

export function asCount(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new Mismatch();
  return value;
}
