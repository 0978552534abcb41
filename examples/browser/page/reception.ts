import { type Compression, type IncomingBlock, type MigrationStatistics, MultifdError, type PageSink, receive } from 'multifd';
import { PageStates } from './states.ts';

export interface ReceiveSettings {
  uri: string;
  channels: number;
  compression: Compression;
  token?: string;
}

/** A block as it is received. Where there is shared memory, both parts are in it. */
export interface ReceivedBlock {
  id: string;
  usedLength: number;
  memory: WebAssembly.Memory;
  /** For {@link PageStates}. */
  states: ArrayBuffer | SharedArrayBuffer;
}

/** What a reception tells about itself; can be posted. */
export type Report =
  /** A block has been announced, or has grown: all there are so far. */
  | { kind: 'blocks'; blocks: readonly ReceivedBlock[] }
  | { kind: 'progress'; statistics: MigrationStatistics }
  | { kind: 'completed'; statistics: MigrationStatistics }
  | { kind: 'failed'; code: string; message: string };

/** The library's default. */
export const PAGE_SIZE = 4096;
const WASM_PAGE = 65536;
/** 4 GiB. */
const MOST_WASM_PAGES = 65536;

/**
 * Receives into memories of its own, one for each block, in the thread that calls. Ends with `completed` or `failed`.
 * @param shared whether memories and states are to be shared with other threads.
 */
export async function runReception(settings: ReceiveSettings, shared: boolean, signal: AbortSignal, report: (report: Report) => void): Promise<void> {
  const landing = new Landing(shared, (blocks) => report({ kind: 'blocks', blocks }));
  try {
    const incoming = await receive({
      ...settings,
      connect: true,
      signal,
      blocks: (block) => landing.target(block),
      onProgress(statistics) {
        landing.round = statistics.ram['dirty-sync-count'];
        report({ kind: 'progress', statistics });
      },
    });
    const statistics = await incoming.completed;
    report({ kind: 'completed', statistics });
  } catch (thrown) {
    const { code, message } = MultifdError.from(thrown);
    report({ kind: 'failed', code, message });
  }
}

/** Makes a memory for each block that is announced, and keeps what is known of its pages. */
class Landing {
  /** By the statistics. */
  round = 0;
  readonly #shared: boolean;
  readonly #onBlocks: (blocks: readonly ReceivedBlock[]) => void;
  readonly #blocks: ReceivedBlock[] = [];

  constructor(shared: boolean, onBlocks: (blocks: readonly ReceivedBlock[]) => void) {
    this.#shared = shared;
    this.#onBlocks = onBlocks;
  }

  target({ id, usedLength }: IncomingBlock): PageSink {
    const pages = usedLength / PAGE_SIZE;
    const states = new PageStates(this.#buffer(PageStates.bytes(pages)), pages);
    const index = this.#blocks.findIndex((block) => block.id === id);
    const before = this.#blocks[index];
    if (before === undefined) this.#blocks.push({ id, usedLength, memory: this.#memory(id, usedLength), states: states.buffer });
    else {
      before.memory.grow(Math.max(0, wasmPages(usedLength) - before.memory.buffer.byteLength / WASM_PAGE));
      states.takeOver(new PageStates(before.states, before.usedLength / PAGE_SIZE));
      this.#blocks[index] = { ...before, usedLength, states: states.buffer };
    }
    this.#onBlocks(this.#blocks);
    const { memory } = this.#blocks.at(index)!;
    return this.#sink(memory, states);
  }

  #sink(memory: WebAssembly.Memory, states: PageStates): PageSink {
    const mark = (offset: number, length: number, content: boolean): void => {
      states.mark(offset / PAGE_SIZE, length / PAGE_SIZE, content, this.round);
      // A round that one block has been seen to be in is that of all.
      this.round = Math.max(this.round, states.round);
    };
    return {
      write(offset, pages) {
        new Uint8Array(memory.buffer, offset, pages.length).set(pages);
        mark(offset, pages.length, true);
      },
      zero(offset, length) {
        // What nothing came for is zero already, and takes no memory of the machine as long as nobody writes there.
        const untouched = states.codes.subarray(offset / PAGE_SIZE, (offset + length) / PAGE_SIZE).every((code) => code <= 1);
        if (!untouched) new Uint8Array(memory.buffer, offset, length).fill(0);
        mark(offset, length, false);
      },
    };
  }

  #memory(id: string, usedLength: number): WebAssembly.Memory {
    const initial = wasmPages(usedLength);
    if (initial > MOST_WASM_PAGES) throw new MultifdError('ERR_BLOCK_LENGTH', `the block ${JSON.stringify(id)} has ${usedLength} bytes, more than the 4 GiB that one WebAssembly memory can have here`);
    return new WebAssembly.Memory(this.#shared ? { initial, maximum: MOST_WASM_PAGES, shared: true } : { initial });
  }

  #buffer(bytes: number): ArrayBuffer | SharedArrayBuffer {
    return this.#shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  }
}

function wasmPages(bytes: number): number {
  return Math.ceil(bytes / WASM_PAGE);
}
