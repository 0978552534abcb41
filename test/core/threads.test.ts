import { compileCore, instantiateCore } from 'multifd/core';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';

const PAGES = 1 << 21;
const AT = { control: 0, counter: 64, bitmap: 0x10000, inverse: 0x10000 + PAGES / 8 };

/** Where each thread keeps what is its own. */
const own = (thread: number) => ({ ...AT, offsets: 0x1000 * (thread + 1), packet: 0x1000 * (thread + 1) + 64 });

it('two threads lose no mark in words they share, and no packet number', async () => {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const module = await compileCore('shared');
  const core = await instantiateCore(memory, module);
  new Uint8Array(memory.buffer, AT.inverse, PAGES / 8).fill(0xff);

  // Neighbouring pages belong to different threads, so every word of the bitmaps is contended.
  const threads = [0, 1].map((first) => {
    const workerData = { memory, module, at: own(first), first, step: 2, pages: PAGES, pageSize: 4096 };
    return new Worker(new URL('marker.mjs', import.meta.url), { workerData });
  });
  const ended = Promise.all(threads.map((thread) => once(thread, 'exit')));

  const control = new Int32Array(memory.buffer, AT.control, 2);
  while (Atomics.load(control, 0) < 2) await Atomics.waitAsync(control, 0, Atomics.load(control, 0)).value;
  Atomics.store(control, 1, 1);
  Atomics.notify(control, 1);
  expect(await ended).toEqual([[0], [0]]);

  expect(core.countBits(AT.bitmap, PAGES)).toBe(PAGES);
  expect(core.countBits(AT.inverse, PAGES)).toBe(0);
  expect(new DataView(memory.buffer).getBigUint64(AT.counter, true)).toBe(BigInt(PAGES));
});
