import type { SyncMode } from './handler.ts';

/** What a target expects of the stream by its machine type. */
export interface MachineRules {
  readonly syncMode: SyncMode;
  /** What SWITCHOVER_ACK answers, where both ends have the capability. */
  readonly switchoverAck: 'return path' | 'device';
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
 * - `switchoverAck`: before 11.1 the source waits for one acknowledgement, whatever devices it has.
 *   From there on a device asks for its own (QEMU's property `switchover-ack-legacy` is off): one
 *   that none has asked for keeps a source from ever ending. Seen with `pc-i440fx-11.1` and
 *   `pc-i440fx-11.0` of 11.1.
 */
const CHANGES: { readonly [Rule in keyof MachineRules]: Change<MachineRules[Rule]> } = {
  syncMode: { since: { major: 8, minor: 1 }, before: 'per-section', now: 'per-round' },
  switchoverAck: { since: { major: 11, minor: 1 }, before: 'return path', now: 'device' },
};

/**
 * The rules of a machine type. QEMU's versioned ones end in their version: `pc-q35-8.1`,
 * `virt-10.0`. All others, such as `none` and `microvm`, have the newest rules, but for
 * `switchoverAck`.
 */
export function machineRules(machine: string): MachineRules {
  const version = versionOf(machine);
  return {
    syncMode: ruleFor(version, CHANGES.syncMode),
    // Streams without a QEMU, whose machine type is any name, have no devices that ask.
    switchoverAck: ruleFor(version, CHANGES.switchoverAck, CHANGES.switchoverAck.before),
  };
}

function versionOf(machine: string): Version | undefined {
  const found = /-(\d+)\.(\d+)$/.exec(machine);
  return found === null ? undefined : { major: Number(found[1]), minor: Number(found[2]) };
}

function ruleFor<T>(
  version: Version | undefined,
  { since, before, now }: Change<T>,
  unversioned = now,
): T {
  if (version === undefined) return unversioned;
  const { major, minor } = version;
  const isOlder = major < since.major || (major === since.major && minor < since.minor);
  return isOlder ? before : now;
}
