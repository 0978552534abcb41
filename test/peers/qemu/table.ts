import type { TestContext } from 'vitest';
import { type Architecture, qemuRelease, type QemuVersion } from '../../support/qemu.ts';

/** One entry of the table in docs/qemu.md: what a test found of one row, one way, with one QEMU. */
export interface Cell {
  row: string;
  /** What the row does besides the usual. */
  how: string;
  direction: Direction;
  version: QemuVersion;
  /** What the QEMU of this version says it is, and the one that loaded what was captured. */
  releases: string[];
  /** `impossible`: QEMU itself refused what the row needs. */
  outcome: 'passed' | 'failed' | 'impossible';
  /** QEMU's own words. */
  why?: string;
}

/** `capture`: QEMU is the source. `replay`: QEMU is the target. */
export type Direction = 'capture' | 'replay';

declare module 'vitest' {
  interface TaskMeta {
    cells?: Cell[];
  }
}

/** What the row needs is not in this QEMU. */
export class Impossible extends Error {}

export type Entry = Omit<Cell, 'outcome' | 'why' | 'releases'> & {
  /** The QEMU that loads what was captured, if that is another one. */
  loader?: QemuVersion;
  /** Default x86_64. */
  architecture?: Architecture;
};

/**
 * Runs `work` as an entry of the table. Passes on what it gives, and what it throws but for
 * {@link Impossible}.
 */
export async function entry<T>(
  context: TestContext,
  { loader, architecture, ...cell }: Entry,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const cells = (context.task.meta.cells ??= []);
  const releases = [...new Set([cell.version, loader ?? cell.version])].map(
    (version) => qemuRelease(version, architecture) ?? version,
  );
  const done: Cell = { ...cell, releases, outcome: 'failed' };
  cells.push(done);
  try {
    const result = await work();
    done.outcome = 'passed';
    return result;
  } catch (error) {
    if (!(error instanceof Impossible)) throw error;
    done.outcome = 'impossible';
    done.why = error.message;
    return undefined;
  }
}
