import { concat, totalLength } from '../../util/bytes.ts';
import { PageWords, ping, ramPart, ramSectionEnd, wordsLength } from '../../stream/index.ts';
import type { StatisticsCollector } from '../statistics.ts';
import type { LoadedRun } from './postcopy-reader.ts';

/** Makes what goes on one connection of pages that have been read. */
export class PageSections {
  readonly #words: PageWords;
  readonly #pageSize: number;
  readonly #statistics: StatisticsCollector;
  readonly #empty = concat([ramPart(), ramSectionEnd()]);
  #buffer = new Uint8Array(0);

  constructor(ids: readonly string[], pageSize: number, statistics: StatisticsCollector) {
    this.#words = new PageWords(ids);
    this.#pageSize = pageSize;
    this.#statistics = statistics;
  }

  /** A whole section, and a PING behind it. Valid until the next call. */
  section(loaded: LoadedRun, value: number | undefined): Uint8Array {
    const ends = [ramSectionEnd(), ...(value === undefined ? [] : [ping(value)])];
    const head = ramPart();
    const into = this.#room(head.length + this.#length(loaded) + totalLength(ends));
    into.set(head);
    let at = this.#fill(into, head.length, loaded);
    for (const piece of ends) {
      into.set(piece, at);
      at += piece.length;
    }
    return into.subarray(0, at);
  }

  /**
   * A section of no pages. It acknowledges what the target has said: without, TCP would be late
   * with that, by 40 ms, and the target's kernel would hold back what it says next until then.
   */
  empty(): Uint8Array {
    return this.#empty;
  }

  /** Nothing but the words, for the preempt channel. Valid until the next call. */
  bare(loaded: LoadedRun): Uint8Array {
    const into = this.#room(this.#length(loaded));
    return into.subarray(0, this.#fill(into, 0, loaded));
  }

  #length({ run }: LoadedRun): number {
    return wordsLength(run.pages, this.#pageSize);
  }

  #room(bytes: number): Uint8Array {
    if (this.#buffer.length < bytes) this.#buffer = new Uint8Array(bytes);
    return this.#buffer;
  }

  #fill(into: Uint8Array, from: number, { run, bytes, isZero }: LoadedRun): number {
    const size = this.#pageSize;
    let at = from;
    for (let page = 0; page < run.pages; page++) {
      const offset = (run.first + page) * size;
      if (isZero(page)) {
        at = this.#words.zero(into, at, run.block, offset);
        this.#statistics.mainDuplicate++;
        continue;
      }
      at = this.#words.page(into, at, run.block, offset);
      into.set(bytes.subarray(page * size, (page + 1) * size), at);
      at += size;
      this.#statistics.mainNormal++;
    }
    return at;
  }
}
