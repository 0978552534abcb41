import type { ChannelContext, SendProgram } from '../engine/program.ts';
import type { Slot } from '../engine/slot.ts';
import { Batcher, type ChannelBasics } from '../blocks/batcher.ts';
import { BATCH_BYTES } from '../blocks/areas.ts';
import type { BlockSourceSpec } from '../blocks/page-sources.ts';
import { DEVICE_STATE, RAM, RamPayload } from '../blocks/payloads.ts';
import { PageWords, wordsLength } from '../stream/index.ts';
import { MultifdError } from '../util/errors.ts';

export interface WordsChannelData extends ChannelBasics {
  sources: BlockSourceSpec[];
}

/** The main channel, in whose open section the pages go. */
export interface WordsOutput {
  /** Resolves once the memory may be used again. */
  write(bytes: Uint8Array): Promise<void>;
  /** Told how many pages have been written, with content and without. */
  count(normal: number, zero: number): void;
}

/**
 * A migration without multifd: the one channel, a task of the owner's thread, that writes pages as
 * words into the section that is open on the main channel.
 *
 * @param ids of the blocks.
 */
export function createWordsChannel(
  context: ChannelContext<WordsChannelData>,
  ids: readonly string[],
  output: WordsOutput,
): SendProgram {
  const { arena, data } = context;
  const { pageSize } = data;
  const batcher = new Batcher(context, data, data.sources);
  const { core } = batcher;
  const words = new PageWords(ids);
  // One is filled while the other is on its way.
  const room = wordsLength(Math.max(1, BATCH_BYTES / pageSize), pageSize);
  const buffers = [new Uint8Array(room), new Uint8Array(room)];
  let next = 0;
  let writing: Promise<void> = Promise.resolve();

  async function sendRam(slot: Slot): Promise<void> {
    const batch = new RamPayload(slot);
    if (!batch.isRange) return sendList(batch);
    const { first, pages, capacity } = batch;
    for (let done = 0; done < pages && arena.unfailed(); ) {
      const count = Math.min(capacity, pages - done);
      batch.list(core, first + done, count, pageSize);
      done += count;
      await sendList(batch);
    }
  }

  async function sendList(batch: RamPayload): Promise<void> {
    const bytes = fill(batch);
    const former = writing;
    writing = former.then(() => output.write(bytes));
    writing.catch(() => {}); // who waits for it is told
    // With it the other buffer is free.
    await former;
  }

  function fill(batch: RamPayload): Uint8Array {
    const into = buffers[next]!;
    next ^= 1;
    const { block, count, offsets } = batch;
    const { normal, zero, content } = batcher.prepare(batch, false);
    const places = new Uint32Array(arena.buffer, offsets, 2 * count);
    const placeOf = (page: number): number =>
      places[2 * page]! + places[2 * page + 1]! * 0x1_0000_0000;
    let at = 0;
    let page = 0;
    for (const run of content) {
      for (let from = 0; from < run.length; from += pageSize) {
        at = words.page(into, at, block, placeOf(page++));
        into.set(run.subarray(from, from + pageSize), at);
        at += pageSize;
      }
    }
    while (page < count) at = words.zero(into, at, block, placeOf(page++));
    output.count(normal, zero);
    return into.subarray(0, at);
  }

  return {
    kind: 'send',
    open() {},
    payloads: new Map([
      [RAM, sendRam],
      [
        DEVICE_STATE,
        () => {
          throw new MultifdError('ERR_UNSUPPORTED', NO_DEVICE_STATE);
        },
      ],
    ]),
    sync: () => writing,
    stop() {},
    close() {},
  };
}

/** Why state that is no RAM can't be sent without multifd. */
export const NO_DEVICE_STATE =
  'device state goes on multifd channels only: leave multifd on, or the device state out';
