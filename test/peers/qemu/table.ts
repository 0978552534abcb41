import type { TestContext } from 'vitest';
import type { QemuVersion } from '../../support/qemu.ts';

/** One entry of the table in docs/qemu.md: what a test found of one row, one way, with one QEMU. */
export interface Cell {
  row: string;
  /** What the row does besides the usual. */
  how: string;
  direction: Direction;
  version: QemuVersion;
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

/**
 * Runs `work` as the entry `cell` of the table. Passes on what it gives, and what it throws but for
 * {@link Impossible}.
 */
export async function entry<T>(
  context: TestContext,
  cell: Omit<Cell, 'outcome' | 'why'>,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const cells = (context.task.meta.cells ??= []);
  const done: Cell = { ...cell, outcome: 'failed' };
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
