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
 * the buffer of a shared memory after its toResizableBuffer() can be posted, and received by
 * nobody.
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
