/**
 * Measures one kernel in Node, Deno or Bun: KernelOrder's fields and the core's file are the
 * arguments, the speed goes to standard output.
 */
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { type KernelOrder, measureKernel } from './measure-kernel.ts';

const [, , order, coreFile] = process.argv as [string, string, string, string];
const speed = await measureKernel(JSON.parse(order) as KernelOrder, {
  module: async () => WebAssembly.compile((await readFile(coreFile)) as Uint8Array<ArrayBuffer>),
  now: () => performance.now(),
});
console.log(speed);
