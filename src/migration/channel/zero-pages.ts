import { sameBytes } from '#host/memory';
import { instantiateCoreSync } from '../../core/index.ts';
import { BATCH_BYTES } from './areas.ts';

/** The bytes of a block's memory, `end` of them or more. @throws MultifdError ERR_BLOCK_LENGTH when there are not that many any more. */
export type Reach = (end: number) => Uint8Array;

/** Makes neighbouring pages zero, from a byte offset on, all within reach. One that is zero already is only read: memory that was never touched stays so. */
export type ClearPages = (offset: number, count: number) => void;

/** By the core over the memory itself. @param module the build that fits the memory. */
export function clearByCore(memory: WebAssembly.Memory, module: WebAssembly.Module, pageSize: number): ClearPages {
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
      // A call costs as much as a page or two do, and neighbours are mostly alike: all at once, then one by one.
      if (sameBytes(bytes, at, zeros, 0, stop - at)) continue;
      for (let page = at; page < stop; page += pageSize) if (!sameBytes(bytes, page, zeros, 0, pageSize)) bytes.fill(0, page, page + pageSize);
    }
  };
}
