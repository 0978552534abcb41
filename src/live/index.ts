/**
 * Live migration: programs that run while they are moved, or while an image of them is written. How
 * it works is in docs/live.md. All of it is exported by `multifd` as well.
 *
 * @module multifd/live
 */
export { Guest } from './guest.ts';
export {
  reactorGuest,
  reactorTarget,
  type Reactor,
  type ReactorGuestOptions,
  type ReactorTarget,
  type ReactorTargetOptions,
} from './reactor/index.ts';
export { hashScratchBytes } from './tracking/hash.ts';
export type { LiveMemory } from './guest-memory.ts';
export type { GuestOptions, LiveBlock, Tracking } from './guest-options.ts';
export type { LiveMigrationOptions, SnapshotOptions } from './options.ts';
export type { LiveStatistics, Round } from './statistics.ts';
export type { DirtyBitmap } from './tracking/bitmap.ts';
