import { BATCH, type Storage } from './storage.ts';

/** Bytes under keys, a piece of fixed length under each. Pieces of zeros have none. */
export class KeyedBytes {
  readonly pieceLength: number;
  readonly #storage: Storage;
  readonly #prefix: string;

  constructor(storage: Storage, prefix: string, pieceLength: number) {
    this.#storage = storage;
    this.#prefix = prefix;
    this.pieceLength = pieceLength;
  }

  /**
   * Writes whole pieces; only the last of all may be shorter.
   * @returns which of them are there now: the others are zero.
   */
  async write(offset: number, bytes: Uint8Array): Promise<boolean[]> {
    const { pieceLength } = this;
    const present: boolean[] = [];
    const first = offset / pieceLength;
    for (let from = 0; from < bytes.length; from += BATCH * pieceLength) {
      const entries: Record<string, Uint8Array> = {};
      for (
        let at = from;
        at < Math.min(bytes.length, from + BATCH * pieceLength);
        at += pieceLength
      ) {
        // A copy, for what is stored of a view is all of the buffer behind it.
        const piece = bytes.slice(at, at + pieceLength);
        const zero = piece.every((byte) => byte === 0);
        present.push(!zero);
        if (!zero) entries[this.#key(first + at / pieceLength)] = piece;
      }
      if (Object.keys(entries).length > 0) await this.#storage.put(entries);
    }
    return present;
  }

  /** Makes pieces zero, by their numbers. */
  async clear(pieces: readonly number[]): Promise<void> {
    for (let from = 0; from < pieces.length; from += BATCH) {
      await this.#storage.delete(pieces.slice(from, from + BATCH).map((piece) => this.#key(piece)));
    }
  }

  /** Fills `into` from byte `offset` on. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    const { pieceLength } = this;
    into.fill(0);
    const end = Math.ceil((offset + into.length) / pieceLength);
    for (let from = Math.floor(offset / pieceLength); from < end; from += BATCH) {
      const pieces = Array.from(
        { length: Math.min(BATCH, end - from) },
        (_, index) => from + index,
      );
      const found = await this.#storage.get<Uint8Array>(pieces.map((piece) => this.#key(piece)));
      for (const piece of pieces) {
        const bytes = found.get(this.#key(piece));
        if (bytes === undefined) continue;
        const at = piece * pieceLength - offset;
        into.set(bytes.subarray(Math.max(0, -at), into.length - at), Math.max(0, at));
      }
    }
  }

  #key(piece: number): string {
    return `${this.#prefix}${piece.toString(16)}`;
  }
}
