import { compileCore, hashKeyLength, instantiateCore, type CoreExports } from 'multifd/core';
import { describe, expect, it } from 'vitest';

const PAGE = 4096;
const GIB = 2 ** 30;
const OFFSETS = 0x1000;
const OUT = 0x2000;

/** All that 32 bits can address. Only the pages that are touched take memory. */
function wholeAddressSpace(): WebAssembly.Memory | undefined {
  try {
    return new WebAssembly.Memory({ initial: 65536, maximum: 65536, shared: true });
  } catch (cause) {
    // This machine does not let a process reserve 4 GiB.
    if (cause instanceof RangeError) return undefined;
    throw cause;
  }
}

const memory = wholeAddressSpace();

describe.skipIf(memory === undefined)('a memory of 4 GiB', async () => {
  if (memory === undefined) return;
  const core: CoreExports = await instantiateCore(memory, await compileCore('shared'));
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  const list = (...offsets: number[]): void => {
    for (const [i, offset] of offsets.entries())
      view.setBigUint64(OFFSETS + 8 * i, BigInt(offset), true);
  };

  it('is scanned, compared and hashed up to its last byte', () => {
    const last = 4 * GIB - 2 * PAGE;
    expect(core.zeroMask(last, PAGE, 2)).toBe(0b11);
    bytes[4 * GIB - 9] = 1;
    expect(core.zeroMask(last, PAGE, 2)).toBe(0b01);
    expect(core.compareMask(last, 2 * GIB, PAGE, 2)).toBe(0b10);
    expect(core.compareMask(2 * GIB, last, PAGE, 2)).toBe(0b10);
    crypto
      .getRandomValues(new Uint8Array(hashKeyLength(PAGE)))
      .forEach((byte, i) => (bytes[0x10000 + i] = byte));
    // Its hash is that of a page with the same content elsewhere.
    bytes.copyWithin(2 * GIB, 4 * GIB - PAGE, 4 * GIB);
    const [top, copy, zero] = [4 * GIB - PAGE, 2 * GIB, last].map((page) => {
      core.hash(page, PAGE, 0x10000, OUT);
      return view.getBigUint64(OUT);
    });
    expect(top).toBe(copy);
    expect(top).not.toBe(zero);
    bytes.fill(0, 2 * GIB, 2 * GIB + PAGE);
    bytes[4 * GIB - 9] = 0;
  });

  it('is gathered from, scattered to and cleared beyond 2 GiB', () => {
    const base = 2 * GIB + 64;
    const far = 2 * GIB - 64 - 2 * PAGE;
    list(far, far + PAGE, 0);
    bytes.fill(1, base + far, base + far + PAGE);
    bytes.fill(2, base + far + PAGE, base + far + 2 * PAGE);
    bytes.fill(3, base, base + PAGE);
    core.gather(3 * GIB, base, OFFSETS, 3, PAGE);
    expect([0, 1, 2].map((i) => bytes[3 * GIB + i * PAGE])).toEqual([1, 2, 3]);
    list(0, far, far + PAGE);
    core.scatter(base, 3 * GIB, OFFSETS, 3, PAGE);
    expect([0, far, far + PAGE].map((offset) => bytes[base + offset + PAGE - 1])).toEqual([
      1, 2, 3,
    ]);
    core.clear(base, OFFSETS, 3, PAGE);
    expect(core.zeroMaskAt(base, OFFSETS, PAGE, 3, OUT)).toBe(3);
    expect(core.runs(OFFSETS, 3, PAGE, OUT)).toBe(2);
    expect(view.getFloat64(OUT + 16, true)).toBe(far);
  });

  it('stays untouched where zero pages are cleared', () => {
    const pages = Array.from({ length: 128 }, (_, i) => i * PAGE);
    list(...pages);
    const before = process.memoryUsage.rss();
    for (let base = GIB; base < 1.5 * GIB; base += 128 * PAGE) core.clear(base, OFFSETS, 128, PAGE);
    // Written to, these 512 MiB would all be resident.
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 2 ** 20);
  });

  it('holds bitmaps, tables and packets at its end', () => {
    const bitmap = 4 * GIB - 64;
    list(0, 511 * PAGE);
    core.markPages(bitmap, OFFSETS, 2, PAGE, 1);
    expect([
      core.countBits(bitmap, 512),
      core.nextRun(bitmap, 1, 512),
      core.runEnd(bitmap, 511, 512),
    ]).toEqual([2, 511, 512]);
    core.fillInitial(bitmap, OUT, 1);
    expect(core.checkInitial(bitmap, OUT, 2)).toBe(0);
  });
});
