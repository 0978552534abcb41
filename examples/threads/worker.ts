/** One thread of the guest. */
import { workerData } from 'node:worker_threads';
import type { Shift } from './crew.ts';

const { module, memory, thread, pages } = workerData as Shift;
const { work } = new WebAssembly.Instance(module, { env: { memory } }).exports as {
  work(thread: number, first: number, step: number, end: number): void;
};
work(thread, ...pages);
