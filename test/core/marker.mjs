// A thread of threads.test.ts: waits for the start, then marks its own pages one by one, with a packet number for each.
import { instantiateCoreSync } from 'multifd/core';
import { workerData } from 'node:worker_threads';

const { memory, module, at, first, step, pages, pageSize } = workerData;
const core = instantiateCoreSync(memory, module);
const view = new DataView(memory.buffer);
const control = new Int32Array(memory.buffer, at.control, 2);

// Both threads have to be here before either starts.
Atomics.add(control, 0, 1);
Atomics.notify(control, 0);
Atomics.wait(control, 1, 0);

for (let page = first; page < pages; page += step) {
  view.setBigUint64(at.offsets, BigInt(page * pageSize), true);
  core.markPages(at.bitmap, at.offsets, 1, pageSize, 1);
  core.markPages(at.inverse, at.offsets, 1, pageSize, 0);
  core.fillRam(at.packet, 0, 1, 0, 1, 0, at.counter, 0, at.offsets);
}
