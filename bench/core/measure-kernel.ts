import type { CoreExports } from 'multifd/core';
import { groundBytes, type Kernel, layGround, type Pass } from './ground.ts';
import { median } from '../lib/spread.ts';
import { scriptPass } from './script-passes.ts';
import { wasmPass } from './wasm-passes.ts';

/** What a runtime is asked to measure. */
export interface KernelOrder {
  kernel: Kernel;
  by: 'core' | 'script';
  mib: number;
}

/** What a runtime brings along. */
export interface KernelHost {
  /** The shared build of the core. */
  module(): Promise<WebAssembly.Module>;
  /** Milliseconds. Where time stands still while a program computes, it waits until it goes on. */
  now(): number | Promise<number>;
}

const WARM_MS = 100;
const SPAN_MS = 30;
const SPANS = 9;
const WASM_PAGE = 65536;

/** How fast a kernel is, in the unit of its metric. */
export async function measureKernel(
  { kernel, by, mib }: KernelOrder,
  { module, now }: KernelHost,
): Promise<number> {
  const pass =
    by === 'core'
      ? await overWasm(kernel, mib, await module())
      : scriptPass(kernel, layGround(new ArrayBuffer(groundBytes(mib)), mib, kernel));
  return speedOf(pass, now);
}

/** The median speed of several spans of time. */
export async function speedOf(pass: Pass, now: KernelHost['now']): Promise<number> {
  const passes = await passesFor(WARM_MS, pass, now).then(() => passesFor(SPAN_MS, pass, now));
  const speeds: number[] = [];
  for (let span = 0; span < SPANS; span++) {
    const begun = await now();
    let done = 0;
    for (let i = 0; i < passes; i++) done += pass();
    speeds.push((done / ((await now()) - begun)) * 1000);
  }
  return median(speeds);
}

async function overWasm(kernel: Kernel, mib: number, module: WebAssembly.Module): Promise<Pass> {
  const pages = Math.ceil(groundBytes(mib) / WASM_PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  return wasmPass(kernel, exports as unknown as CoreExports, layGround(memory.buffer, mib, kernel));
}

/** How many passes fill that time; it takes them. */
async function passesFor(
  milliseconds: number,
  pass: Pass,
  now: KernelHost['now'],
): Promise<number> {
  for (let passes = 1; ; passes *= 2) {
    const begun = await now();
    for (let i = 0; i < passes; i++) pass();
    const taken = (await now()) - begun;
    if (taken >= milliseconds) return Math.max(1, Math.ceil((passes * milliseconds) / taken));
  }
}
