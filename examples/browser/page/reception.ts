import {
  type Compression,
  type ImagePlan,
  type ImageStore,
  type MigrationStatistics,
  MultifdError,
  type PageSink,
  type PlannedBlock,
  receive,
} from 'multifd';
import { NEVER, PageStates, ZERO } from './states.ts';

export interface ReceiveSettings {
  uri: string;
  channels: number;
  compression: Compression;
  token?: string;
}

/**
 * What is received: an image's parts. Where there is shared memory, that of the blocks is in it.
 */
export interface Received {
  /** Everything but bitmaps, pages and the tail, and where all of it would be in a file. */
  plan: ImagePlan;
  /** For each block of the plan. */
  blocks: readonly ReceivedBlock[];
  /** What follows the RAM, once it is there. */
  tail?: Uint8Array;
}

export interface ReceivedBlock {
  memory: WebAssembly.Memory;
  /** For {@link PageStates}. */
  states: ArrayBuffer | SharedArrayBuffer;
}

/** What a reception tells about itself; can be posted. */
export type Report =
  /** All blocks are known, and have their memories; and again with the tail, once that is there. */
  | { kind: 'received'; received: Received }
  | { kind: 'progress'; statistics: MigrationStatistics }
  | { kind: 'completed'; statistics: MigrationStatistics }
  | { kind: 'failed'; code: string; message: string };

const WASM_PAGE = 65536;
/** 4 GiB. */
const MOST_WASM_PAGES = 65536;

/**
 * Receives into memories of its own, one for each block, in the thread that calls. Ends with
 * `completed` or `failed`.
 * @param shared whether memories and states are to be shared with other threads.
 */
export async function runReception(
  settings: ReceiveSettings,
  shared: boolean,
  signal: AbortSignal,
  report: (report: Report) => void,
): Promise<void> {
  const store = new MemoryStore(shared, (received) => report({ kind: 'received', received }));
  try {
    const incoming = await receive({
      ...settings,
      connect: true,
      signal,
      image: store,
      onProgress(statistics) {
        store.round = statistics.ram['dirty-sync-count'];
        report({ kind: 'progress', statistics });
      },
    });
    report({ kind: 'completed', statistics: await incoming.completed });
  } catch (thrown) {
    const { code, message } = MultifdError.from(thrown);
    report({ kind: 'failed', code, message });
  }
}

/** Keeps an image in memory: a memory for each block, and what is known of its pages. */
class MemoryStore implements ImageStore {
  /** By the statistics. */
  round = 0;
  readonly #shared: boolean;
  readonly #onReceived: (received: Received) => void;
  #received: Received | undefined;

  constructor(shared: boolean, onReceived: (received: Received) => void) {
    this.#shared = shared;
    this.#onReceived = onReceived;
  }

  begin(plan: ImagePlan): PageSink[] {
    const states = plan.blocks.map(({ usedLength }) => {
      const pages = usedLength / plan.pageSize;
      return new PageStates(this.#buffer(PageStates.bytes(pages)), pages);
    });
    const blocks = plan.blocks.map((block, index) => ({
      memory: this.#memory(block),
      states: states[index]!.buffer,
    }));
    this.#received = { plan, blocks };
    this.#onReceived(this.#received);
    return blocks.map(({ memory }, index) =>
      this.#sink(new Uint8Array(memory.buffer), states[index]!, plan.pageSize),
    );
  }

  commit(tail: Uint8Array): void {
    this.#onReceived({ ...this.#received!, tail });
  }

  /** What came stays to be looked at. */
  discard(): void {}

  #sink(bytes: Uint8Array, states: PageStates, pageSize: number): PageSink {
    const mark = (offset: number, length: number, content: boolean): void => {
      states.mark(offset / pageSize, length / pageSize, content, this.round);
      // A round that one block has been seen to be in is that of all.
      this.round = Math.max(this.round, states.round);
    };
    return {
      write(offset, pages) {
        bytes.set(pages, offset);
        mark(offset, pages.length, true);
      },
      zero(offset, length) {
        // What nothing came for is zero already, and takes no memory of the machine as long as
        // nobody writes there.
        const untouched = states.codes
          .subarray(offset / pageSize, (offset + length) / pageSize)
          .every((code) => code === NEVER || code === ZERO);
        if (!untouched) bytes.fill(0, offset, offset + length);
        mark(offset, length, false);
      },
    };
  }

  #memory({ id, usedLength }: PlannedBlock): WebAssembly.Memory {
    const pages = Math.ceil(usedLength / WASM_PAGE);
    if (pages > MOST_WASM_PAGES)
      throw new MultifdError(
        'ERR_BLOCK_LENGTH',
        `the block ${JSON.stringify(id)} has ${usedLength} bytes, more than the 4 GiB that ` +
          'one WebAssembly memory can have here',
      );
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: this.#shared });
  }

  #buffer(bytes: number): ArrayBuffer | SharedArrayBuffer {
    return this.#shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  }
}
