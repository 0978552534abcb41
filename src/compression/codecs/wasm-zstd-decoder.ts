import { ZSTDDecoder } from 'zstddec/stream';
import type { Decoder } from '../codec.ts';
import { broken, Filling } from '../decoded.ts';

/** Three bytes of zero: a block that is not the last, stored, of size 0. */
const EMPTY_BLOCK = new Uint8Array(3);

/** What the library takes its input from: each payload, and empty blocks until the next. */
class Payloads implements IterableIterator<Uint8Array> {
  #payload: Uint8Array | undefined;
  #taken = 0;
  #ended = false;

  /** How often something was taken since the payload was put here. */
  get taken(): number {
    return this.#taken;
  }

  put(payload: Uint8Array): void {
    this.#payload = payload;
    this.#taken = 0;
  }

  end(): void {
    this.#ended = true;
  }

  next(): IteratorResult<Uint8Array, undefined> {
    if (this.#ended) return { done: true, value: undefined };
    const value = this.#payload ?? EMPTY_BLOCK;
    this.#payload = undefined;
    this.#taken++;
    return { done: false, value };
  }

  [Symbol.iterator](): this {
    return this;
  }
}

/**
 * zstd decoding by libzstd in WebAssembly, for runtimes without a native one. Any number of
 * channels of a thread can have one; all of a thread's are in one memory, which does not shrink,
 * and what a broken stream had in it stays there: so it serves threads that end with their channel.
 * Payloads have the form that zstd-frame.ts demands.
 *
 * The library gives pieces of at most 128 KiB, an empty one when the input it was given yields no
 * more. It does not say whether a piece was the payload's last: so an empty block follows, and the
 * empty piece that comes of that one is the end. Nor does it say that data is broken: it goes on
 * giving empty pieces and takes no more input.
 */
export async function wasmZstdDecoder(): Promise<Decoder> {
  const library = new ZSTDDecoder();
  await initialised(library);
  const payloads = new Payloads();
  const pieces = library.decodeStreaming(payloads);

  function nextPiece(): Uint8Array {
    let result: IteratorResult<Uint8Array, unknown>;
    try {
      result = pieces.next();
    } catch (cause) {
      throw broken(String(cause), cause);
    }
    if (result.done === true) throw broken('the decoder has ended');
    return result.value;
  }

  return {
    async decode(payload, into) {
      payloads.put(payload);
      const pages = new Filling(into);
      for (let empty = false; ; ) {
        const before = payloads.taken;
        const piece = nextPiece();
        const taken = payloads.taken - before;
        if (empty && taken === 0) throw broken('libzstd goes no further');
        empty = piece.length === 0;
        if (empty && payloads.taken > 1) break;
        pages.take(piece);
      }
      if (pages.lack !== undefined) throw pages.lack;
    },
    close() {
      payloads.end();
      // Gives back its memory, and says that the frame has not ended: a channel's never does.
      try {
        pieces.next();
      } catch {}
    },
  };
}

/**
 * Where there is a `Buffer` the library can do without `fetch`, and does if it finds none. Node's
 * loads an HTTP client first, which takes each thread 50 ms.
 */
function initialised(library: ZSTDDecoder): Promise<void> {
  if (!('Buffer' in globalThis)) return library.init();
  const fetch = Object.getOwnPropertyDescriptor(globalThis, 'fetch');
  Object.defineProperty(globalThis, 'fetch', { value: undefined, configurable: true });
  try {
    return library.init();
  } finally {
    if (fetch !== undefined) Object.defineProperty(globalThis, 'fetch', fetch);
  }
}
