import { instantiateCore } from 'multifd/core';
import { expect, it } from 'vitest';

it('the example of the core', async () => {
  const lines: unknown[] = [];
  const console = { log: (...values: unknown[]) => lines.push(...values) };

  // example: begin
  const memory = new WebAssembly.Memory({ initial: 2 });
  const core = await instantiateCore(memory);
  const ram = 65536; // where the RAM begins; what lies below is scratch
  new Uint8Array(memory.buffer, ram + 3 * 4096, 2 * 4096).fill(1);

  const offsets = new BigUint64Array(memory.buffer, 0, 16); // of 16 pages, at address 0
  offsets.forEach((_, page) => (offsets[page] = BigInt(page * 4096)));
  core.zeroMaskAt(ram, 0, 4096, 16, 128); // which of the pages are zero: mask at 128
  const normal = core.partition(0, 16, 128, 256); // pages with content come first
  const runs = core.runs(0, normal, 4096, 512); // neighbours are one run: offset, length
  console.log(normal, runs, new Float64Array(memory.buffer, 512, 2)); // 2 1 [12288, 8192]
  // example: end

  expect(lines).toEqual([2, 1, Float64Array.of(12288, 8192)]);
});
