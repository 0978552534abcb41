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
