// A thread of threads.test.ts. Side by side with the others it takes packet numbers, then sets and
// clears its own page's bit in a word that all share. It posts the number of times the bit was not
// as it had left it.
import { instantiateCoreSync } from 'multifd/core';
import { parentPort, workerData } from 'node:worker_threads';

const { memory, module, at, page, threads, rounds, pageSize } = workerData;
const core = instantiateCoreSync(memory, module);
const view = new DataView(memory.buffer);
const arrived = new Int32Array(memory.buffer, at.arrived, 2);

// Spinning, since a thread that has to be woken would start when the other is done.
function waitForAll(step) {
  Atomics.add(arrived, step, 1);
  while (Atomics.load(arrived, step) < threads);
}

waitForAll(0);
for (let round = 0; round < rounds; round++)
  core.fillRam(at.packet, 0, 0, 0, 0, 0, at.counter, 0, at.offsets);

const bit = () => (view.getUint8(at.bitmap) >> page) & 1;
let lost = 0;
view.setBigUint64(at.offsets, BigInt(page * pageSize), true);

waitForAll(1);
for (let round = 0; round < rounds; round++) {
  core.markPages(at.bitmap, at.offsets, 1, pageSize, 1);
  if (bit() !== 1) lost++;
  core.markPages(at.bitmap, at.offsets, 1, pageSize, 0);
  if (bit() !== 0) lost++;
}

parentPort.postMessage(lost);
