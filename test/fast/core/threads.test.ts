import { compileCore, instantiateCore } from 'multifd/core';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';

/**
 * Without the atomics, on two cores, a third of the numbers of so many rounds are lost, and dozens
 * of marks.
 */
const ROUNDS = 1_000_000;
const THREADS = 2;
const AT = { arrived: 0, counter: 64, bitmap: 128 };

/** Where each thread keeps what is its own. */
const own = (thread: number) => ({
  ...AT,
  offsets: 0x1000 * (thread + 1),
  packet: 0x1000 * (thread + 1) + 64,
});

it('threads that mark pages of one word side by side lose no mark, and no packet number', async () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const module = await compileCore('shared');

  const losses = Array.from({ length: THREADS }, async (_, page) => {
    const workerData = {
      memory,
      module,
      at: own(page),
      page,
      threads: THREADS,
      rounds: ROUNDS,
      pageSize: 4096,
    };
    return once(new Worker(new URL('marker.mjs', import.meta.url), { workerData }), 'message');
  });
  expect(await Promise.all(losses)).toEqual([[0], [0]]);

  const view = new DataView(memory.buffer);
  expect(view.getBigUint64(AT.counter, true)).toBe(BigInt(THREADS * ROUNDS));
  expect(view.getBigUint64(AT.bitmap, true)).toBe(0n);
});

it('marks and numbers are atomic, which an unaligned word shows', async () => {
  const core = await instantiateCore(
    new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }),
  );
  for (const present of [0, 1]) {
    expect(() => core.markPages(AT.bitmap + 4, 0x1000, 1, 4096, present)).toThrow(
      WebAssembly.RuntimeError,
    );
  }
  expect(() => core.fillRam(0x2000, 0, 0, 0, 0, 0, AT.counter + 4, 0, 0x1000)).toThrow(
    WebAssembly.RuntimeError,
  );
});
