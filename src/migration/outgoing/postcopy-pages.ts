import { MultifdError } from '../../util/errors.ts';
import type { ReturnMessage } from '../../stream/index.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { PageRun, PagesLeft } from './postcopy-left.ts';
import type { LoadedRun, PostcopyReader } from './postcopy-reader.ts';
import type { PageSections } from './postcopy-sections.ts';
import type { PostcopyWindow } from './postcopy-window.ts';

/** Bytes of a piece that nobody has asked for; less while the target asks. */
const PIECE = 256 * 1024;
const BUSY_PIECE = 32 * 1024;
/**
 * Pieces that are being read, or wait to be written: of a file, one while the other is written;
 * over a network each takes a round trip.
 */
const LANES = { file: 2, other: 6 } as const;
/** Reads of what was asked for that are under way at a time; the target is read on after them. */
const MOST_URGENT = 64;
/** Pages that come along with one that was asked for, and how far from the last one that was. */
const MOST_AHEAD = 16;
const NEAR = 256;
/** Values of the PINGs behind pieces, so that they are none of others. */
const FIRST_PING = 0x1000_0000;

export type PageRequest = Extract<ReturnMessage, { type: 'request-pages' }>;

/** A connection that pages go on. */
export interface PageOutput {
  readonly sections: PageSections;
  /** Resolves once the memory may be used again. */
  write(bytes: Uint8Array): Promise<void>;
}

export interface PostcopyPagesOptions {
  ids: readonly string[];
  /** Bytes of each block. */
  lengths: readonly number[];
  pageSize: number;
  /** Bytes that have to come together, one page or several: what the target's memory is made of. */
  unit: number;
  left: PagesLeft;
  reader: PostcopyReader;
  bandwidth: Bandwidth;
  /** Bytes on all connections so far. */
  transferred: () => number;
  window: PostcopyWindow;
  main: PageOutput;
  /** Where what was asked for goes; undefined: on the main channel. */
  preempt: PageOutput | undefined;
}

interface Piece {
  readonly run: PageRun;
  /** Undefined while it is being read. */
  loaded: LoadedRun | undefined;
  /** It was asked for. */
  urgent: boolean;
}

/**
 * Sends each page that is left once, while a program at the target runs: what it waits for first,
 * and everything else in order, from behind what it has asked for last.
 */
export class PostcopyPages {
  readonly #options: PostcopyPagesOptions;
  /** What has been taken and not been written yet, in the order in which it was. */
  #pieces: Piece[] = [];
  #lastBlock: number | undefined;
  /** Where one would go on who goes from page to page. */
  #following: { block: number | undefined; page: number } = { block: undefined, page: 0 };
  #ahead = 0;
  #error: MultifdError | undefined;
  #pings = 0;
  #held = false;
  /** The target has said something since the main channel was written last. */
  #heard = false;
  #wake: Array<() => void> = [];

  constructor(options: PostcopyPagesOptions) {
    this.#options = options;
  }

  /** How many requests there were. */
  requests = 0;

  /**
   * Takes a request of the target's. Resolves when it can take another.
   * @throws MultifdError ERR_BLOCK, ERR_PAGE_OFFSET, ERR_STREAM.
   */
  async take({ block: id, start, length }: PageRequest): Promise<void> {
    const { ids, lengths, pageSize, unit, left, window } = this.#options;
    const block = id === undefined ? this.#lastBlock : ids.indexOf(id);
    if (block === undefined)
      throw refused('ERR_STREAM', 'pages of the block it asked for before, and there was none');
    if (block < 0) throw refused('ERR_BLOCK', `pages of ${id}, which is no block`);
    const what = `${length} bytes at ${start} of ${ids[block]}`;
    if (start % pageSize !== 0 || length % pageSize !== 0 || length === 0)
      throw refused('ERR_PAGE_OFFSET', `${what}, which are no pages of ${pageSize} bytes`);
    if (start + length > lengths[block]!)
      throw refused('ERR_PAGE_OFFSET', `${what}, which has ${lengths[block]} bytes`);
    this.#lastBlock = block;
    this.requests++;
    this.#heard = true;
    window.asked();
    const [from, to] = [start / pageSize, (start + length) / pageSize];
    for (const piece of this.#pieces)
      if (piece.run.block === block && piece.run.first < to && from < endOf(piece.run))
        piece.urgent = true;
    const end = to + this.#pagesAhead(block, from);
    for (;;) {
      const run = left.takeIn(block, from, end, Math.max(unit, BUSY_PIECE) / pageSize);
      if (run === undefined) break;
      left.seek(block, endOf(run));
      this.#read(run, true);
    }
    this.#following = { block, page: end };
    this.#changed();
    while (this.#pieces.length > MOST_URGENT && this.#error === undefined) await this.#change();
  }

  /**
   * Who goes from page to page gets some of those that come next along, more each time; who does
   * not gets none.
   */
  #pagesAhead(block: number, from: number): number {
    const { block: before, page } = this.#following;
    const follows = block === before && from >= page && from <= page + NEAR;
    this.#ahead = follows ? Math.min(MOST_AHEAD, Math.max(1, 2 * this.#ahead)) : 0;
    return this.#ahead * (this.#options.unit / this.#options.pageSize);
  }

  /** An answer to a PING. */
  answered(value: number): void {
    this.#heard = true;
    if (this.#options.window.answered(value)) this.#changed();
  }

  /** Makes {@link run} end with the error. */
  fail(error: MultifdError): void {
    this.#error ??= error;
    this.#changed();
  }

  /** Resolves when every page has been written. @throws the first error. */
  async run(): Promise<void> {
    const { main, preempt } = this.#options;
    if (preempt === undefined) return this.#write(main, () => this.#urgent() ?? this.#next());
    await Promise.all([
      this.#write(preempt, () => this.#urgent()),
      this.#write(main, () => this.#next()),
    ]);
  }

  async #write(output: PageOutput, next: () => Piece | undefined): Promise<void> {
    const { main, window } = this.#options;
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      this.#readOn();
      const piece = next();
      if (piece === undefined) {
        if (this.#options.left.count === 0 && this.#pieces.length === 0) break;
        if (output === main && this.#heard) {
          await this.#send(output, output.sections.empty());
          continue;
        }
        await this.#change();
        continue;
      }
      this.#pieces.splice(this.#pieces.indexOf(piece), 1);
      const loaded = piece.loaded!;
      if (output !== main) {
        await this.#send(output, output.sections.bare(loaded));
      } else if (piece.urgent) {
        await this.#send(output, output.sections.section(loaded, undefined));
      } else {
        const ping = FIRST_PING + this.#pings++;
        const bytes = output.sections.section(loaded, ping);
        window.sent(ping, bytes.length);
        await this.#send(output, bytes);
      }
    }
    this.#changed();
  }

  async #send(output: PageOutput, bytes: Uint8Array): Promise<void> {
    if (output === this.#options.main) this.#heard = false;
    try {
      await output.write(bytes);
    } catch (thrown) {
      this.fail(MultifdError.from(thrown));
    }
  }

  #urgent(): Piece | undefined {
    return this.#pieces.find(({ urgent, loaded }) => urgent && loaded !== undefined);
  }

  /** A piece that nobody has asked for, if it may go now. */
  #next(): Piece | undefined {
    const piece = this.#pieces.find(({ urgent, loaded }) => !urgent && loaded !== undefined);
    if (piece === undefined || this.#held || !this.#options.window.open) return undefined;
    const { bandwidth, transferred } = this.#options;
    const wait = bandwidth.wait(transferred());
    if (wait === undefined) return piece;
    this.#held = true;
    void wait.then(() => {
      this.#held = false;
      this.#changed();
    });
    return undefined;
  }

  /** Keeps as many pieces at hand as there are lanes. */
  #readOn(): void {
    const { left, reader, window, pageSize, unit, bandwidth } = this.#options;
    const lanes = reader.aside ? LANES.other : LANES.file;
    const bytes = Math.min(window.busy ? BUSY_PIECE : PIECE, bandwidth.portion);
    const pages = Math.max(1, Math.floor(bytes / unit)) * (unit / pageSize);
    while (this.#pieces.filter(({ urgent }) => !urgent).length < lanes) {
      const run = left.next(pages);
      if (run === undefined) return;
      this.#read(run, false);
    }
  }

  #read(run: PageRun, urgent: boolean): void {
    const piece: Piece = { run, loaded: undefined, urgent };
    this.#pieces.push(piece);
    const keep = (loaded: LoadedRun): void => {
      piece.loaded = loaded;
      this.#changed();
    };
    try {
      const read = this.#options.reader.read(run, urgent);
      if (read instanceof Promise)
        read.then(keep).catch((thrown: unknown) => this.fail(MultifdError.from(thrown)));
      else piece.loaded = read;
    } catch (thrown) {
      this.fail(MultifdError.from(thrown));
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => void this.#wake.push(resolve));
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

function endOf({ first, pages }: PageRun): number {
  return first + pages;
}

function refused(code: 'ERR_STREAM' | 'ERR_BLOCK' | 'ERR_PAGE_OFFSET', what: string): MultifdError {
  return new MultifdError(code, `the target asked for ${what}`, { channel: 'main' });
}
