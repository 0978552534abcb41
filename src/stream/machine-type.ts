import type { SyncMode } from './handler.ts';

/** What a target expects of the stream by its machine type. */
export interface MachineRules {
  readonly syncMode: SyncMode;
}

interface Version {
  readonly major: number;
  readonly minor: number;
}

/** A rule that changed once: what it was before a version, and what it is from there on. */
interface Change<T> {
  readonly since: Version;
  readonly before: T;
  readonly now: T;
}

/**
 * Each rule has its row, or this does not compile.
 *
 * - `syncMode`: QEMU's property `multifd-flush-after-each-section` is on in machine types before
 *   8.1. They take the end of each section for a flush, and know no MULTIFD_FLUSH. Seen in streams
 *   of `pc-i440fx-7.2` (7.2 and 10.0) and `pc-i440fx-10.0`.
 */
const CHANGES: { readonly [Rule in keyof MachineRules]: Change<MachineRules[Rule]> } = {
  syncMode: { since: { major: 8, minor: 1 }, before: 'per-section', now: 'per-round' },
};

/**
 * The rules of a machine type. QEMU's versioned ones end in their version: `pc-q35-8.1`,
 * `virt-10.0`. All others, such as `none` and `microvm`, have the newest rules.
 */
export function machineRules(machine: string): MachineRules {
  const version = versionOf(machine);
  return { syncMode: ruleFor(version, CHANGES.syncMode) };
}

function versionOf(machine: string): Version | undefined {
  const found = /-(\d+)\.(\d+)$/.exec(machine);
  return found === null ? undefined : { major: Number(found[1]), minor: Number(found[2]) };
}

function ruleFor<T>(version: Version | undefined, { since, before, now }: Change<T>): T {
  if (version === undefined) return now;
  const { major, minor } = version;
  const isOlder = major < since.major || (major === since.major && minor < since.minor);
  return isOlder ? before : now;
}
