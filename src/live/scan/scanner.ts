import type { CoreModules } from '../../core/index.ts';
import type { Extent, PassCount } from './pass.ts';
import type { LiveMemory } from '../guest-memory.ts';
import type { TrackerState } from '../tracking/create.ts';
import type { Lent } from '../tracking/hash.ts';

/** A block that a scanner is to look at. */
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

/** Looks for changes in some of a guest's blocks, and sends what it finds. */
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
  /** Told of pages that were looked at, as a sign of life. */
  onScanned: (pages: number) => void;
}
