import { MultifdError } from '../util/errors.ts';

// What a decoder refuses, in the same words whatever decodes.

export function broken(why: string, cause?: unknown): MultifdError {
  return new MultifdError('ERR_DECOMPRESS', `the compressed data is broken: ${why}`, { cause });
}

export function tooMuch(wanted: number): MultifdError {
  return new MultifdError(
    'ERR_DECOMPRESS',
    `the compressed data yields more than the ${wanted} bytes its pages have`,
  );
}

export function tooLittle(filled: number, wanted: number): MultifdError {
  return new MultifdError(
    'ERR_DECOMPRESS',
    `the compressed data yields ${filled} bytes, but its pages have ${wanted}`,
  );
}

export function ended(): MultifdError {
  return new MultifdError(
    'ERR_DECOMPRESS',
    'the compressed stream ended, but it has to go on for the whole migration',
  );
}

export function endedBefore(): MultifdError {
  return new MultifdError('ERR_DECOMPRESS', 'the compressed stream has ended already');
}

/** A packet's pages, which its payload has to fill, piece by piece, exactly. */
export class Filling {
  readonly #into: Uint8Array;
  #filled = 0;

  constructor(into: Uint8Array) {
    this.#into = into;
  }

  /** Whether there is room for it. */
  fits(piece: Uint8Array): boolean {
    return this.#filled + piece.length <= this.#into.length;
  }

  /** @throws MultifdError ERR_DECOMPRESS before anything is written that does not fit. */
  take(piece: Uint8Array): void {
    if (!this.fits(piece)) throw tooMuch(this.#into.length);
    this.#into.set(piece, this.#filled);
    this.#filled += piece.length;
  }

  /** What is wrong at the payload's end: undefined when the pages are full. */
  get lack(): MultifdError | undefined {
    const { length } = this.#into;
    return this.#filled < length ? tooLittle(this.#filled, length) : undefined;
  }
}
