import { sameBytes } from '../util/compare.ts';
import { instantiateCoreSync } from '../core/index.ts';
import { BATCH_BYTES } from './areas.ts';

/** Detects zero pages in a block's memory, in place. Offsets are bytes in the block. */
export interface ZeroPages {
  /** Of up to 32 neighbours: bit i is set when page i is all zero. */
  mask(offset: number, count: number): number;
  /** How many of `count` neighbours come before the first zero page. */
  normal(offset: number, count: number): number;
}

/**
 * By the core over the memory itself, in which the block begins at `base`.
 * @param module the build that fits the memory.
 */
export function findByCore(
  memory: WebAssembly.Memory,
  module: WebAssembly.Module,
  base: number,
  pageSize: number,
): ZeroPages {
  const core = instantiateCoreSync(memory, module);
  return {
    mask: (offset, count) => core.zeroMask(base + offset, pageSize, count),
    normal: (offset, count) => core.normalPages(base + offset, pageSize, count),
  };
}

/** By comparing with zeros, in memory of any kind. */
export function findByCompare(bytes: Uint8Array, pageSize: number): ZeroPages {
  const zeros = new Uint8Array(pageSize);
  // Most pages that are not zero show it in their first byte, which costs no call.
  const isZero = (offset: number): boolean =>
    bytes[offset] === 0 && sameBytes(bytes, offset, zeros, 0, pageSize);
  return {
    mask(offset, count) {
      let mask = 0;
      for (let page = 0; page < count; page++)
        if (isZero(offset + page * pageSize)) mask |= 1 << page;
      return mask;
    },
    normal(offset, count) {
      let normal = 0;
      while (normal < count && !isZero(offset + normal * pageSize)) normal++;
      return normal;
    },
  };
}

/**
 * The bytes of a block's memory, `end` of them or more.
 * @throws MultifdError ERR_BLOCK_LENGTH when there are not that many any more.
 */
export type Reach = (end: number) => Uint8Array;

/**
 * Makes neighbouring pages zero, from a byte offset on, all within reach. One that is zero already
 * is only read: memory that was never touched stays so.
 */
export type ClearPages = (offset: number, count: number) => void;

/** By the core over the memory itself. @param module the build that fits the memory. */
export function clearByCore(
  memory: WebAssembly.Memory,
  module: WebAssembly.Module,
  pageSize: number,
): ClearPages {
  const core = instantiateCoreSync(memory, module);
  return (offset, count) => core.clearRun(offset, pageSize, count);
}

/** By comparing with zeros, in memory of any kind. */
export function clearByCompare(reach: Reach, pageSize: number): ClearPages {
  const zeros = new Uint8Array(BATCH_BYTES);
  return (offset, count) => {
    const end = offset + count * pageSize;
    const bytes = reach(end);
    for (let at = offset; at < end; at += BATCH_BYTES) {
      const stop = Math.min(end, at + BATCH_BYTES);
      // A call costs as much as a page or two do, and neighbours are mostly alike: all at once,
      // then one by one.
      if (sameBytes(bytes, at, zeros, 0, stop - at)) continue;
      for (let page = at; page < stop; page += pageSize)
        if (!sameBytes(bytes, page, zeros, 0, pageSize)) bytes.fill(0, page, page + pageSize);
    }
  };
}
