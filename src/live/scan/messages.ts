import type { CoreModules } from '../../core/index.ts';
import type { ErrorRecord } from '../../util/errors.ts';
import type { ArenaHandle } from '../../engine/arena.ts';
import type { PostedMemory } from '../guest-memory.ts';
import type { TrackerState } from '../tracking/tracker.ts';
import type { Lent } from '../tracking/hash.ts';
import type { Extent, PassCount } from './pass.ts';

/** What one of several scanning threads is told when it starts. */
export interface ScanStart {
  arena: ArenaHandle;
  modules: CoreModules;
  pageSize: number;
  /** Indexes of its two clients: for pages with content, and for zero pages. */
  clients: readonly [number, number];
  /** Its share of the segments. */
  part: number;
  parts: number;
  blocks: readonly {
    index: number;
    memory: PostedMemory;
    kept: TrackerState;
    scratch: Lent | undefined;
  }[];
  /** Address in the arena of what hashes need. */
  hashAddress: number;
  /** Bytes per second, for this thread (0: no limit). */
  maxBandwidth: number;
}

export type ScanOrder =
  | { kind: 'pass'; extents: readonly Extent[]; limited: boolean }
  /** Nothing more comes: hand back what is kept. */
  | { kind: 'end' };

export type ScanEvent =
  /** @param active milliseconds of work. */
  | { kind: 'passed'; count: PassCount; active: number }
  | { kind: 'ended'; kept: readonly TrackerState[] }
  | { kind: 'failed'; error: ErrorRecord };
