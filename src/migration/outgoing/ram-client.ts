import { pagesPerPacket, type CoreExports } from '../../core/index.ts';
import type { Client } from '../../engine/client.ts';
import { NONE } from '../../engine/slot.ts';
import { RAM, RamPayload } from '../../blocks/payloads.ts';
import { turn } from '../../util/timing.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { Arena } from '../../engine/arena.ts';
import { BATCH_BYTES } from '../../blocks/areas.ts';
import type { ContentBlock } from './content.ts';

/** The event loop gets a turn at least this often, however fast the channels take batches. */
const TURN_MS = 10;

export interface RamClientOptions {
  client: Client;
  pageSize: number;
  bandwidth: Bandwidth;
  /** Bytes on all connections so far. */
  transferred: () => number;
  /** Channels look for zero pages. */
  detect: boolean;
  /** By block index: the pages have to be staged in the slot. */
  staged: readonly boolean[];
  /**
   * Pages that a channel gets at once, where it gets at them itself.
   * @param left how many are not handed over yet.
   */
  rangePages: (left: number) => number;
  /** Of all blocks. */
  pages: number;
}

/**
 * The engine's client for RAM: collects pages of one block into batches, and sends each when it is
 * full or the block changes.
 */
export class RamClient {
  readonly #options: RamClientOptions;
  readonly #capacity: number;
  #batch: RamPayload;
  #turned = performance.now();
  #left: number;

  constructor(options: RamClientOptions) {
    this.#options = options;
    this.#left = options.pages;
    this.#capacity = Math.max(
      1,
      Math.min(
        pagesPerPacket(options.pageSize),
        Math.floor(options.bandwidth.portion / options.pageSize),
      ),
    );
    this.#batch = new RamPayload(options.client.slot);
  }

  /**
   * Takes a page if the batch has room for it and is of its block.
   * @param content the page, for a block whose pages are staged.
   * @returns false when the batch has to be sent first.
   */
  queuePage(block: number, offset: number, content?: Uint8Array): boolean {
    const batch = this.#batch;
    if (batch.slot.type === NONE)
      batch.reset(block, this.#capacity, {
        staged: this.#options.staged[block]!,
        detect: this.#options.detect,
      });
    if (batch.block !== block || batch.full) return false;
    if (content !== undefined)
      batch.dataBytes(batch.count * content.length, content.length).set(content);
    batch.push(offset);
    return true;
  }

  /**
   * Hands over pages that the channels get at themselves, as many as there are from `first` on, and
   * no more than a range has.
   * @returns how many; 0 when the engine has failed.
   */
  async sendRange(block: number, first: number, end: number): Promise<number> {
    if (!(await this.flush())) return 0;
    // Each packet asks whether there is bandwidth for it, where that is limited.
    const pages = Math.min(
      end - first,
      this.#options.bandwidth.limited ? this.#capacity : this.#options.rangePages(this.#left),
    );
    this.#left -= pages;
    this.#batch.resetToRange(block, first, pages, this.#capacity, this.#options.detect);
    return (await this.flush()) ? pages : 0;
  }

  /** Sends the batch, if there is anything in it. @returns false when the engine has failed. */
  async flush(): Promise<boolean> {
    const { client, bandwidth, transferred } = this.#options;
    if (client.slot.type !== RAM) return true;
    await bandwidth.wait(transferred());
    if (performance.now() - this.#turned > TURN_MS) {
      await turn();
      this.#turned = performance.now();
    }
    const sent = await client.sendAsync();
    this.#batch = new RamPayload(client.slot);
    return sent;
  }
}

export interface RoundOptions {
  blocks: readonly ContentBlock[];
  pageSize: number;
  ram: RamClient;
  arena: Arena;
  core: CoreExports;
  /** Address of {@link BATCH_BYTES} in the arena that this thread reads pages into. */
  staging: number;
  /** Where a zero page goes that this thread finds; undefined: it looks for none. */
  zeroPage: ((block: number, offset: number) => void | Promise<void>) | undefined;
}

/**
 * Hands every page of every block to the channels, once.
 * @returns false when the engine has failed.
 */
export async function sendAllPages(options: RoundOptions): Promise<boolean> {
  for (const [index, block] of options.blocks.entries()) {
    if (block.ignored) continue;
    const staged = options.zeroPage !== undefined || block.descriptor.kind === 'staged';
    if (!(await (staged ? stagePages : namePages)(index, block, options))) return false;
  }
  return options.ram.flush();
}

/** The channels get at the pages themselves: they need only be told which. */
async function namePages(
  index: number,
  { usedLength }: ContentBlock,
  { ram, pageSize }: RoundOptions,
): Promise<boolean> {
  const end = usedLength / pageSize;
  for (let page = 0; page < end; ) {
    const pages = await ram.sendRange(index, page, end);
    if (pages === 0) return false;
    page += pages;
  }
  return true;
}

/** Only this thread gets at the pages, or has to look at them first. */
async function stagePages(
  index: number,
  block: ContentBlock,
  { ram, arena, core, staging, pageSize, zeroPage }: RoundOptions,
): Promise<boolean> {
  const { usedLength } = block;
  const pages = new Uint8Array(arena.buffer, staging, BATCH_BYTES);
  const step = Math.min(32, BATCH_BYTES / pageSize);
  for (let from = 0; from < usedLength; from += step * pageSize) {
    if (!arena.running()) return false;
    const count = Math.min(step, (usedLength - from) / pageSize);
    await block.read(from, pages.subarray(0, count * pageSize));
    const zero = zeroPage === undefined ? 0 : core.zeroMask(staging, pageSize, count);
    for (let page = 0; page < count; page++) {
      const at = page * pageSize;
      if ((zero & (1 << page)) !== 0) await zeroPage!(index, from + at);
      else
        while (!ram.queuePage(index, from + at, pages.subarray(at, at + pageSize)))
          if (!(await ram.flush())) return false;
    }
  }
  return true;
}
