import type { FileHandle } from 'node:fs/promises';
import { runsOf, type PageRun } from './bitmap.ts';
import { readFully, writeFully } from '../../files/io.ts';
import type { PlannedBlock } from './layout.ts';

/** At least the largest page. */
const WINDOW = 1024 * 1024;
/** Writes on their way at a time: as many threads as Node has for files. */
const LANES = 4;

/**
 * Copies the pages of a block whose bits are set, from one file to the same places in another.
 * Pages near to each other are read at once, with what lies between them; only they are written,
 * neighbours together.
 *
 * @throws MultifdError ERR_IO; ERR_IMAGE if the source ends before. No write is on its way any
 *   more then.
 */
export async function copyPages(
  from: FileHandle,
  to: FileHandle,
  { usedLength, pagesOffset }: Pick<PlannedBlock, 'usedLength' | 'pagesOffset'>,
  pageSize: number,
  bitmap: Uint8Array,
): Promise<void> {
  const buffer = new Uint8Array(WINDOW);
  for (const runs of windows(runsOf(bitmap, usedLength / pageSize), WINDOW / pageSize)) {
    const { start } = runs[0]!;
    const position = pagesOffset + start * pageSize;
    await readFully(from, buffer.subarray(0, (runs.at(-1)!.end - start) * pageSize), position);
    for (let next = 0; next < runs.length; next += LANES) {
      const writes = runs.slice(next, next + LANES).map((run) => {
        const at = (run.start - start) * pageSize;
        return writeFully(to, buffer.subarray(at, (run.end - start) * pageSize), position + at);
      });
      for (const written of await Promise.allSettled(writes))
        if (written.status === 'rejected') throw written.reason;
    }
  }
}

/** Copies bytes from one file to the same place in another. Throws what {@link copyPages} does. */
export async function copyRange(
  from: FileHandle,
  to: FileHandle,
  position: number,
  length: number,
): Promise<void> {
  const buffer = new Uint8Array(Math.min(WINDOW, length));
  for (let at = 0; at < length; at += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, length - at));
    await readFully(from, piece, position + at);
    await writeFully(to, piece, position + at);
  }
}

/** The runs, cut where they are too long, in groups of which none spans more than `pages`. */
function* windows(runs: Iterable<PageRun>, pages: number): Generator<PageRun[]> {
  let window: PageRun[] = [];
  for (const { start, end } of runs) {
    for (let at = start; at < end; at += pages) {
      const run = { start: at, end: Math.min(end, at + pages) };
      if (window.length > 0 && run.end - window[0]!.start > pages) {
        yield window;
        window = [];
      }
      window.push(run);
    }
  }
  if (window.length > 0) yield window;
}
