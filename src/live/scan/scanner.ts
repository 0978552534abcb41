import type { CoreModules } from '../../core/index.ts';
import type { Extent, PassCount } from './pass.ts';
import { type LiveMemory, reachesThreads } from '../guest-memory.ts';
import type { TrackerState } from '../tracking/tracker.ts';
import { type Lent, hashArenaBytes, hashScratchBytes } from '../tracking/hash.ts';
import type { WorkerModule } from '../../engine/threads/thread.ts';
import { FIRST_CLIENT, type SendPipeline } from '../../migration/outgoing/pipeline.ts';
import { ThreadScanner } from './thread-scanner.ts';
import { WorkerScanner } from './worker-scanner.ts';

/** A block to scan. */
export interface ScannedBlock {
  /** Its number in the migration's block list. */
  index: number;
  memory: LiveMemory;
  kept: TrackerState;
  /** Bytes of the memory that its owner has lent. */
  scratch: Lent | undefined;
}

export interface PassOrder {
  /** By block number. */
  extents: readonly Extent[];
  /**
   * The guest runs: it gets its turns, and the bandwidth is limited. Else the guest waits for this
   * pass to end.
   */
  live: boolean;
  /** Of the guest's thread, where that is the scanner's too. */
  share: number;
}

export interface PassResult {
  count: PassCount;
  /** Milliseconds of work, and of waiting for channels. */
  active: number;
}

/** Scans some of a guest's blocks for changes, and sends what it finds. */
export interface Scanner {
  pass(order: PassOrder): Promise<PassResult>;
  /**
   * Ends it.
   * @returns what is kept of its blocks, by block number; only right after a pass that has ended
   *   well.
   */
  end(): Promise<ReadonlyMap<number, TrackerState>>;
}

export interface ScannerOptions {
  blocks: readonly ScannedBlock[];
  modules: CoreModules;
  pageSize: number;
  /** Indexes of the engine's clients that it may use. */
  clients: readonly [number, number];
  /** Address in the arena of `blocks.length` times what hashes need. */
  hashAddress: number;
  /** Told of pages that were scanned, as a sign of life. */
  onScanned: (pages: number) => void;
}

export interface ScanPlanOptions {
  blocks: readonly ScannedBlock[];
  modules: CoreModules;
  pageSize: number;
  /** How many threads scan shared memory; 0: this one does. */
  threads: number;
  /** What those threads run. */
  worker: () => WorkerModule;
  sliceMs: number;
  maxBandwidth: number;
  transferred: () => number;
  onScanned: (pages: number) => void;
}

/**
 * Who scans what: this thread what only it can see, and a dirty log, which is a function
 * of its; others at shared memory.
 */
export class ScanPlan {
  /** How many of the engine's clients it needs. */
  readonly clients: number;
  /** Bytes that it needs in the arena. */
  readonly bytes: number;
  readonly #options: ScanPlanOptions;
  readonly #here: readonly ScannedBlock[];
  readonly #elsewhere: readonly ScannedBlock[];
  readonly #threads: number;

  constructor(options: ScanPlanOptions) {
    const { blocks, threads, pageSize } = options;
    const movable = ({ memory, kept }: ScannedBlock): boolean =>
      threads > 0 && reachesThreads(memory) && kept.method !== 'bitmap';
    this.#options = options;
    this.#elsewhere = blocks.filter(movable);
    this.#here = blocks.filter((block) => !movable(block));
    this.#threads = this.#elsewhere.length > 0 ? threads : 0;
    this.clients = 2 * (this.#threads + (this.#here.length > 0 ? 1 : 0));
    this.bytes =
      hashArenaBytes(pageSize) * (this.#here.length + this.#threads * this.#elsewhere.length);
  }

  /**
   * @param scanners get one each, also before an error.
   * @throws MultifdError ERR_OPTION for a memory that can't be tracked as asked.
   */
  start(pipeline: SendPipeline, scanners: Scanner[]): void {
    const { modules, pageSize, worker, sliceMs, maxBandwidth, transferred, onScanned } =
      this.#options;
    let client = FIRST_CLIENT;
    let hashAddress = pipeline.extra;
    const common = (blocks: readonly ScannedBlock[]) => {
      const own = {
        pipeline,
        blocks,
        modules,
        pageSize,
        clients: [client, client + 1] as const,
        hashAddress,
        onScanned,
      };
      client += 2;
      hashAddress += blocks.length * hashArenaBytes(pageSize);
      return own;
    };
    if (this.#here.length > 0)
      scanners.push(new ThreadScanner({ ...common(this.#here), transferred, sliceMs }));
    for (let part = 0; part < this.#threads; part++) {
      // Each has its own part of what a caller has lent.
      const own = this.#elsewhere.map((block) => ({
        ...block,
        scratch: block.scratch && partOf(block.scratch, part, pageSize),
      }));
      scanners.push(
        new WorkerScanner({
          ...common(own),
          part,
          parts: this.#threads,
          module: worker(),
          maxBandwidth,
        }),
      );
    }
  }
}

function partOf(lent: Lent, part: number, pageSize: number): Lent {
  return { ...lent, own: lent.offset + part * hashScratchBytes(pageSize) };
}
