import { instantiateCoreSync } from '../../core/index.ts';
import type { Client } from '../../engine/client.ts';
import type { SendPipeline } from '../../migration/outgoing/pipeline.ts';
import { GuestMemory } from '../guest-memory.ts';
import { createTracker, type TrackerState } from '../tracking/tracker.ts';
import { hashArenaBytes } from '../tracking/hash.ts';
import { Batches, capacityOf } from './batches.ts';
import { pass, type TrackedBlock } from './pass.ts';
import type { PassOrder, PassResult, ScannedBlock, Scanner, ScannerOptions } from './scanner.ts';
import { Slices } from './slices.ts';

/**
 * While the guest waits, the thread's other business (channels that run inline, time-outs) still
 * gets a turn this often.
 */
const FINAL_SLICE_MS = 10;

export interface ThreadScannerOptions extends ScannerOptions {
  pipeline: SendPipeline;
  transferred: () => number;
  sliceMs: number;
}

/** Scans memory that only this thread has, between the guest's calls. */
export class ThreadScanner implements Scanner {
  readonly #options: ThreadScannerOptions;
  readonly #blocks: readonly TrackedBlock[];
  readonly #kept: readonly ScannedBlock[];
  readonly #normal: Batches;
  readonly #zero: Batches;

  /** @throws MultifdError ERR_OPTION for a memory that can't be tracked as asked. */
  constructor(options: ThreadScannerOptions) {
    const { pipeline, blocks, modules, pageSize, clients, hashAddress } = options;
    const { engine, bandwidth } = pipeline;
    const { arena } = engine.group;
    const core = instantiateCoreSync(arena.handle.memory, pipeline.module);
    this.#options = options;
    this.#kept = blocks;
    this.#blocks = blocks.map(({ index, memory, kept, scratch }, n) => {
      const guest = new GuestMemory(memory, modules);
      const address = hashAddress + n * hashArenaBytes(pageSize);
      return {
        index,
        memory: guest,
        tracker: createTracker(kept, guest, pageSize, scratch, {
          core,
          buffer: arena.buffer,
          address,
        }),
      };
    });
    // Not a moment is spent on waiting that the guest could have.
    const hand = (client: Client): Promise<boolean> => client.sendAsync(false);
    const capacity = capacityOf(pageSize, bandwidth);
    // Zero pages of memory that the core can't scan in place are found by the channels.
    const detect = this.#blocks.some(({ memory }) => memory.core === undefined);
    this.#normal = new Batches(engine.client(clients[0]), capacity, { staged: true, detect }, hand);
    this.#zero = new Batches(engine.client(clients[1]), capacity, { zero: true }, hand);
  }

  async pass({ extents, live, share }: PassOrder): Promise<PassResult> {
    const { pipeline, pageSize, transferred, sliceMs, onScanned } = this.#options;
    const slices = live ? new Slices(sliceMs, share) : new Slices(FINAL_SLICE_MS, 1);
    const count = await pass({
      blocks: this.#blocks,
      extents,
      pageSize,
      normal: this.#normal,
      zero: this.#zero,
      slices,
      allow: () => (live ? pipeline.bandwidth.wait(transferred()) : undefined),
      alive: pipeline.engine.group.arena.running,
      onScanned,
      part: 0,
      parts: 1,
    });
    return { count, active: slices.worked + slices.waited };
  }

  async end(): Promise<ReadonlyMap<number, TrackerState>> {
    return new Map(this.#kept.map(({ index, kept }) => [index, kept]));
  }
}
