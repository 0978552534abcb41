const PAGE = 4096;

/** A file's bytes, holes left out. Copies share what neither has written to since. */
export class Content {
  #length = 0;
  #pages = new Map<number, Uint8Array>();

  static of(bytes: Uint8Array): Content {
    const content = new Content();
    for (let at = 0; at < bytes.length; at += PAGE) {
      const page = bytes.subarray(at, at + PAGE);
      if (page.some((byte) => byte !== 0)) content.write(at, page);
    }
    content.resize(bytes.length);
    return content;
  }

  get length(): number {
    return this.#length;
  }

  copy(): Content {
    const copy = new Content();
    copy.#length = this.#length;
    copy.#pages = new Map(this.#pages);
    return copy;
  }

  write(position: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const [index, within] = [Math.floor((position + at) / PAGE), (position + at) % PAGE];
      const piece = bytes.subarray(at, at + PAGE - within);
      const page = this.#pages.get(index)?.slice() ?? new Uint8Array(PAGE);
      page.set(piece, within);
      this.#pages.set(index, page);
      at += piece.length;
    }
    this.#length = Math.max(this.#length, position + bytes.length);
  }

  resize(length: number): void {
    for (const [index, page] of this.#pages) {
      if (index * PAGE >= length) this.#pages.delete(index);
      else if ((index + 1) * PAGE > length)
        this.#pages.set(index, page.slice().fill(0, length - index * PAGE));
    }
    this.#length = length;
  }

  /** What is no hole, in order. */
  *pieces(): Generator<{ position: number; bytes: Uint8Array }> {
    for (const index of [...this.#pages.keys()].sort((one, other) => one - other)) {
      const position = index * PAGE;
      yield { position, bytes: this.#pages.get(index)!.subarray(0, this.#length - position) };
    }
  }
}
