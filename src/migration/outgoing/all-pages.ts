import type { CoreExports } from '../../core/index.ts';
import type { Arena } from '../../engine/arena.ts';
import { BATCH_BYTES } from '../../blocks/areas.ts';
import type { OpenBlock } from '../../blocks/sources.ts';
import type { RamClient } from './ram-client.ts';

export interface RoundOptions {
  blocks: readonly OpenBlock[];
  /** By block: whole pages, in bytes. */
  usedLengths: readonly number[];
  pageSize: number;
  ram: RamClient;
  arena: Arena;
  core: CoreExports;
  /** Address of {@link BATCH_BYTES} in the arena that this thread reads pages into. */
  staging: number;
  /** Where a zero page goes that this thread finds; undefined: it looks for none. */
  zeroPage: ((block: number, offset: number) => void | Promise<void>) | undefined;
}

/**
 * Hands every page of every block to the channels, once.
 * @returns false when the engine has failed.
 */
export async function sendAllPages(options: RoundOptions): Promise<boolean> {
  for (const [index, block] of options.blocks.entries()) {
    const staged = options.zeroPage !== undefined || block.descriptor.kind === 'staged';
    if (!(staged ? await stagePages(index, block, options) : await namePages(index, options)))
      return false;
  }
  return options.ram.flush();
}

/** The channels get at the pages themselves: they need only be told which. */
async function namePages(
  index: number,
  { ram, pageSize, usedLengths }: RoundOptions,
): Promise<boolean> {
  const end = usedLengths[index]! / pageSize;
  for (let page = 0; page < end; ) {
    const pages = await ram.sendRange(index, page, end);
    if (pages === 0) return false;
    page += pages;
  }
  return true;
}

/** Only this thread gets at the pages, or has to look at them first. */
async function stagePages(
  index: number,
  block: OpenBlock,
  { ram, arena, core, staging, pageSize, usedLengths, zeroPage }: RoundOptions,
): Promise<boolean> {
  const usedLength = usedLengths[index]!;
  const pages = new Uint8Array(arena.buffer, staging, BATCH_BYTES);
  const step = Math.min(32, BATCH_BYTES / pageSize);
  for (let from = 0; from < usedLength; from += step * pageSize) {
    if (!arena.running()) return false;
    const count = Math.min(step, (usedLength - from) / pageSize);
    await block.read(from, pages.subarray(0, count * pageSize));
    const zero = zeroPage === undefined ? 0 : core.zeroMask(staging, pageSize, count);
    for (let page = 0; page < count; page++) {
      const at = page * pageSize;
      if ((zero & (1 << page)) !== 0) await zeroPage!(index, from + at);
      else
        while (!ram.queuePage(index, from + at, pages.subarray(at, at + pageSize)))
          if (!(await ram.flush())) return false;
    }
  }
  return true;
}
