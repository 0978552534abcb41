import { RUN } from 'multifd/core';
import { describe, expect, it } from 'vitest';
import { bench, KINDS } from './support.ts';

const PAGE = 4096;
const GIB_4 = 2 ** 32;
const AT = { offsets: 0x1000, runs: 0x2000 };

describe.each(KINDS)('the %s build', (kind) => {
  async function runs(offsets: readonly number[]): Promise<[offset: number, bytes: number][]> {
    const { core, view } = await bench(kind);
    for (const [i, offset] of offsets.entries())
      view.setBigUint64(AT.offsets + 8 * i, BigInt(offset), true);
    const count = core.runs(AT.offsets, offsets.length, PAGE, AT.runs);
    return Array.from({ length: count }, (_, run) => {
      const at = AT.runs + RUN.length * run;
      return [view.getFloat64(at + RUN.offset, true), view.getFloat64(at + RUN.bytes, true)];
    });
  }

  it('takes pages on both sides of 4 GiB for one run', async () => {
    expect(await runs([GIB_4 - PAGE, GIB_4, GIB_4 + PAGE])).toEqual([[GIB_4 - PAGE, 3 * PAGE]]);
  });

  it('takes no page for the neighbour of one that is 4 GiB away from its neighbour', async () => {
    expect(await runs([0, GIB_4 + PAGE, 2 * PAGE])).toEqual([
      [0, PAGE],
      [GIB_4 + PAGE, PAGE],
      [2 * PAGE, PAGE],
    ]);
  });
});
