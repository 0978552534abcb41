import { MultifdError } from '../../util/errors.ts';
import { trace } from '../../util/trace.ts';
import type { RamBlock, ReturnMessage } from '../../stream/index.ts';
import { MissingPages } from './missing-pages.ts';

export interface PostcopyOptions {
  blocks: readonly RamBlock[];
  /** Bytes. */
  pageSize: number;
  /** Says it to the source, whatever connection it has now. */
  say: (message: ReturnMessage) => Promise<void>;
}

/**
 * The incoming end from where a source goes over to postcopy: the device sections are here, and
 * the pages that have changed since come behind them. Nothing runs here that would ask for pages,
 * so they come in the source's own order.
 *
 * As soon as the source has been told that the package is here, it does not go back: what its guest
 * was is in these pages and in no other place. So a connection that is lost then does not end the
 * migration: the source pauses, and comes back.
 */
export class IncomingPostcopy {
  readonly #options: PostcopyOptions;
  readonly #missing: MissingPages;
  #running = false;

  constructor(options: PostcopyOptions) {
    this.#options = options;
    this.#missing = new MissingPages(options.blocks, options.pageSize);
  }

  /** Whether the source does not go back any more. */
  get running(): boolean {
    return this.#running;
  }

  /** Pages that have yet to come. */
  get missing(): number {
    return this.#missing.count;
  }

  discard(block: number, offset: number, length: number): void {
    this.#missing.add(block, offset, length);
  }

  /** The device sections are here. @param pings that the source wants answered. */
  async start(pings: readonly number[]): Promise<void> {
    trace('target', () => `postcopy: ${this.missing} pages are missing`);
    this.#running = true;
    for (const value of pings) await this.#options.say({ type: 'pong', value });
  }

  /** A page has come. */
  take(block: number, offset: number): void {
    if (this.#running) this.#missing.take(block, offset);
  }

  /** Says which pages of a block are here, to a source that is back. @param data u8 length, id. */
  async tellReceived(data: Uint8Array): Promise<void> {
    const id = new TextDecoder().decode(data.subarray(1, 1 + data[0]!));
    const index = this.#options.blocks.findIndex((block) => block.id === id);
    if (index < 0)
      throw new MultifdError(
        'ERR_BLOCK',
        `the source asks about the block ${id}, which it has not`,
        {
          channel: 'main',
        },
      );
    await this.#options.say({
      type: 'received-bitmap',
      block: id,
      bitmap: this.#missing.received(index),
    });
  }

  /** @throws MultifdError ERR_STREAM for a stream that has ended with pages missing. */
  demandAll(): void {
    this.#missing.demandNone();
  }
}

/** The error of a source that has not come back. @param milliseconds as long as was waited. */
export function neverBack(lost: Error, missing: number, milliseconds: number): MultifdError {
  return new MultifdError(
    'ERR_PEER_CLOSED',
    `${lost.message}; it was in postcopy, with ${missing} pages missing here, and has not come ` +
      `back within ${milliseconds / 1000} s (QEMU: migrate -r URI)`,
    { channel: 'main', cause: lost },
  );
}
