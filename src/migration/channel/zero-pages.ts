import { sameBytes } from '#host/memory';
import { instantiateCoreSync } from '../../core/index.ts';
import { BATCH_BYTES } from './areas.ts';

/** As many pages as a mask has bits. */
export const MASK_PAGES = 32;

/** The bytes of a block's memory, `end` of them or more. @throws MultifdError ERR_BLOCK_LENGTH when there are not that many any more. */
export type Reach = (end: number) => Uint8Array;

/** Of up to {@link MASK_PAGES} pages from an offset on, all within reach: bit i is set when page i is all zero. */
export type LookForZeros = (offset: number, count: number) => number;

/** By the core over the memory itself. @param module the build that fits the memory. */
export function lookByCore(memory: WebAssembly.Memory, module: WebAssembly.Module, pageSize: number): LookForZeros {
  const core = instantiateCoreSync(memory, module);
  return (offset, count) => core.zeroMask(offset, pageSize, count);
}

/** By comparing with zeros, in memory of any kind. */
export function lookByCompare(reach: Reach, pageSize: number): LookForZeros {
  const spanPages = Math.min(MASK_PAGES, BATCH_BYTES / pageSize);
  const zeros = new Uint8Array(spanPages * pageSize);
  return (offset, count) => {
    const bytes = reach(offset + count * pageSize);
    // A call costs as much as a page or two do, and neighbours are mostly alike: all at once, then one by one.
    if (count <= spanPages && sameBytes(bytes, offset, zeros, 0, count * pageSize)) return count === MASK_PAGES ? -1 : (1 << count) - 1;
    let mask = 0;
    for (let page = 0; page < count; page++) if (sameBytes(bytes, offset + page * pageSize, zeros, 0, pageSize)) mask |= 1 << page;
    return mask;
  };
}
