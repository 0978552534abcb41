import { MultifdError, type ErrorCode } from '../util/errors.ts';

/** Where a {@link ByteReader} gets its bytes: a socket, a file, or an array in a test. */
export interface ByteSource {
  /** Fills the start of `into`; gives the number of bytes, 0 only at the end. */
  read(into: Uint8Array): number | Promise<number>;
  /**
   * Makes the next `read` start at `position`, counted like {@link ByteReader.position}. Files have
   * it, connections do not.
   */
  seek?(position: number): void;
}

export interface ByteReaderOptions {
  /** What `position` is before the first byte is read; default 0. */
  position?: number;
  /**
   * What the bytes are, for error codes and places: `connection` (the main channel, the default) or
   * `file`.
   */
  origin?: 'connection' | 'file';
}

const CAPACITY = 64 * 1024;
const TWO_TO_32 = 0x1_0000_0000;

/**
 * Reads big-endian fields from a source, through one buffer of 64 KiB.
 *
 * Call {@link ensure} for the bytes of a record, then the synchronous getters for its fields. A
 * view that {@link bytes} or {@link rest} gave is valid until the next `ensure`, `copyInto`,
 * `skipTo` or `atEnd`.
 */
export class ByteReader {
  #source: ByteSource;
  readonly #file: boolean;
  readonly #buffer = new Uint8Array(CAPACITY);
  readonly #view = new DataView(this.#buffer.buffer);
  #start = 0;
  #end = 0;
  /** Position in the source of the buffer's first byte. */
  #base: number;

  constructor(source: ByteSource, options: ByteReaderOptions = {}) {
    this.#source = source;
    this.#base = options.position ?? 0;
    this.#file = options.origin === 'file';
  }

  /** Absolute offset in bytes of the next byte to be taken. */
  get position(): number {
    return this.#base + this.#start;
  }

  /** How many bytes can be taken without {@link ensure}. */
  get buffered(): number {
    return this.#end - this.#start;
  }

  /** Whether {@link skipTo} is possible. */
  get seekable(): boolean {
    return this.#source.seek !== undefined;
  }

  /** An error at `offset`, by default the next byte's position. */
  error(code: ErrorCode, message: string, offset = this.position, field?: string): MultifdError {
    return new MultifdError(code, message, {
      channel: this.#file ? undefined : 'main',
      offset,
      field,
    });
  }

  /**
   * The error for a source that ended where there had to be more: ERR_PEER_CLOSED, or ERR_IMAGE for
   * a file.
   */
  endedEarly(): MultifdError {
    const end = this.#base + this.#end;
    return this.#file
      ? this.error('ERR_IMAGE', 'the file was cut short: it ends in the middle of a record', end)
      : this.error(
          'ERR_PEER_CLOSED',
          'the source closed the connection before its stream was complete',
          end,
        );
  }

  /**
   * Makes the next `count` bytes (at most 64 KiB) available; undefined when they are already. Await
   * what it gives before any other call.
   *
   * @throws MultifdError ERR_PEER_CLOSED, or ERR_IMAGE for a file, when the source ends before
   *   them.
   */
  ensure(count: number): Promise<void> | undefined {
    return this.buffered >= count ? undefined : this.#fill(count);
  }

  /** The next byte, which stays the next one. */
  peek(): number {
    const value = this.u8();
    this.#start--;
    return value;
  }

  /** A view of everything that is buffered, which stays to be taken. */
  ahead(): Uint8Array {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  /** @throws MultifdError ERR_STREAM for a value that a JavaScript number cannot hold exactly. */
  u64(): number {
    const at = this.#take(8);
    const value = this.#view.getUint32(at) * TWO_TO_32 + this.#view.getUint32(at + 4);
    if (value > Number.MAX_SAFE_INTEGER) {
      throw this.error(
        'ERR_STREAM',
        `a 64-bit field holds ${value}, more than 2^53 - 1`,
        this.#base + at,
      );
    }
    return value;
  }

  /** A view of the next `count` ensured bytes. */
  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#buffer.subarray(at, at + count);
  }

  /** A view of everything that is buffered; empty when nothing is. */
  rest(): Uint8Array {
    return this.bytes(this.buffered);
  }

  /**
   * Fills all of `target`; what is not buffered yet is read directly into it. Throws as {@link
   * ensure} does.
   */
  async copyInto(target: Uint8Array): Promise<void> {
    const buffered = this.bytes(Math.min(target.length, this.buffered));
    target.set(buffered);
    let filled = buffered.length;
    if (filled < target.length) this.#moveTo(this.position);
    while (filled < target.length) {
      const count = await this.#source.read(target.subarray(filled));
      if (count === 0) throw this.endedEarly();
      filled += count;
      this.#base += count;
    }
  }

  /**
   * Goes on at `position`, which is not before the present one.
   *
   * @throws MultifdError ERR_INTERNAL if the source cannot seek.
   */
  skipTo(position: number): void {
    if (position <= this.#base + this.#end) {
      this.#take(position - this.position);
      return;
    }
    if (this.#source.seek === undefined)
      throw this.error('ERR_INTERNAL', 'a connection was asked to seek');
    this.#source.seek(position);
    this.#moveTo(position);
  }

  /** Goes on with what another source has; what was buffered is dropped. */
  restart(source: ByteSource): void {
    this.#source = source;
    this.#moveTo(this.position);
  }

  /** Whether the source has ended; reads ahead if nothing is buffered. */
  async atEnd(): Promise<boolean> {
    if (this.buffered > 0) return false;
    this.#moveTo(this.position);
    this.#end = await this.#source.read(this.#buffer);
    return this.#end === 0;
  }

  async #fill(count: number): Promise<void> {
    if (count > CAPACITY)
      throw this.error('ERR_INTERNAL', `${count} bytes do not fit the reader's buffer`);
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#base += this.#start;
    this.#end -= this.#start;
    this.#start = 0;
    while (this.#end < count) {
      const read = await this.#source.read(this.#buffer.subarray(this.#end));
      if (read === 0) throw this.endedEarly();
      this.#end += read;
    }
  }

  #take(count: number): number {
    const at = this.#start;
    if (count < 0 || at + count > this.#end) {
      throw this.error('ERR_INTERNAL', `${count} bytes were taken that are not buffered`);
    }
    this.#start = at + count;
    return at;
  }

  #moveTo(position: number): void {
    this.#base = position;
    this.#start = 0;
    this.#end = 0;
  }
}
