/** Small helpers on bytes, for runtimes without Node's Buffer. */

export function totalLength(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** The pieces one behind the other, in memory of its own. */
export function concat(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(totalLength(pieces));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** Whether all are 0. @param bytes as many as a multiple of 4, from a multiple of 4 on. */
export function isZero({ buffer, byteOffset, length }: Uint8Array): boolean {
  return new Uint32Array(buffer, byteOffset, length / 4).every((word) => word === 0);
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** 16 bytes in the usual form with dashes. */
export function formatUuid(uuid: Uint8Array): string {
  return toHex(uuid).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** @param hex pairs of digits, and nothing else. */
export function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/**
 * Whether other threads can see the memory. Pages that are not cross-origin isolated lack the
 * class.
 */
export function isSharedBuffer(buffer: unknown): buffer is SharedArrayBuffer {
  return typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer;
}

/**
 * Bytes on their way to another thread. A view's own length is cut off at 2^32 when it is posted
 * (V8, up to Node 26); a buffer and two numbers get there whole.
 */
export interface Span {
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  /** Undefined: all there is from there on, also when the buffer has grown. */
  readonly byteLength: number | undefined;
}

/** Of a view, or of a whole buffer. */
export function spanOf(memory: ArrayBufferView | ArrayBufferLike): Span {
  if (!ArrayBuffer.isView(memory)) return { buffer: memory, byteOffset: 0, byteLength: undefined };
  const { buffer, byteOffset, byteLength } = memory;
  return { buffer, byteOffset, byteLength };
}

/** The bytes of a span, or of a view of any kind; none where its memory has gone since. */
export function viewOf({ buffer, byteOffset, byteLength }: Span): Uint8Array {
  if (buffer.byteLength < byteOffset + (byteLength ?? 1)) return new Uint8Array(0);
  return byteLength === undefined
    ? new Uint8Array(buffer)
    : new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * Whether a buffer can be had in other threads. It is tried where that is not certain: on Node 26
 * the buffer of a shared memory after its toResizableBuffer() can be posted, but
 * no thread can receive it.
 */
export function canPost(buffer: unknown): buffer is SharedArrayBuffer {
  if (!isSharedBuffer(buffer)) return false;
  if ((buffer as { growable?: boolean }).growable !== true) return true;
  try {
    structuredClone(buffer);
    return true;
  } catch {
    return false;
  }
}

const WASM_PAGE = 65536;
/** As large as a WebAssembly memory can be. */
const MOST = 2 ** 32;
/** Below, bytes are copied when they get more; that is cheaper than a memory of its own. */
const SMALL = 1024 * 1024;

/**
 * Bytes that come piece by piece, in one piece, in hardly more memory than they are: a WebAssembly
 * memory grows where it is, and what of it was never written to takes none.
 */
export class GrowingBytes {
  #bytes = new Uint8Array(0);
  #memory: WebAssembly.Memory | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A view, which is valid until the next {@link append}. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Throws RangeError when there is no memory left, or for more than 4 GiB. */
  append(chunk: Uint8Array): void {
    const end = this.#length + chunk.length;
    if (end > this.#bytes.length) this.#grow(end);
    this.#bytes.set(chunk, this.#length);
    this.#length = end;
  }

  #grow(end: number): void {
    const former = this.#bytes;
    // An eighth more, so that not every piece makes it grow.
    const room = Math.max(end, Math.floor(former.length * 1.125));
    if (this.#memory !== undefined) {
      this.#memory.grow(Math.ceil((room - former.length) / WASM_PAGE));
      this.#bytes = new Uint8Array(this.#memory.buffer as ArrayBuffer);
      return;
    }
    if (end <= SMALL) {
      this.#bytes = new Uint8Array(Math.min(SMALL, Math.max(end, 2 * former.length)));
    } else {
      const [initial, maximum] = [room, MOST].map((bytes) => Math.ceil(bytes / WASM_PAGE));
      this.#memory = new WebAssembly.Memory({ initial: initial!, maximum: maximum! });
      this.#bytes = new Uint8Array(this.#memory.buffer as ArrayBuffer);
    }
    this.#bytes.set(former);
  }
}

/** readv and writev take at most this many views in one call (IOV_MAX on Linux and the BSDs). */
export const MAX_VIEWS = 1024;

/** What is left of the views behind their first bytes. */
export function behind(views: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let at = 0;
  let left = bytes;
  while (at < views.length && left >= views[at]!.length) left -= views[at++]!.length;
  if (left === 0) return at === 0 ? views : views.slice(at);
  return [views[at]!.subarray(left), ...views.slice(at + 1)];
}

/**
 * Whether an error says that a descriptor has nothing to give, or takes nothing, at the moment.
 * The stack of such an error is never used, and to capture it would cost more than the call that
 * throws it: callers set Error.stackTraceLimit to 0 meanwhile.
 */
export function isNotNow(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAGAIN';
}
