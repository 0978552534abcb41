import { compileCore, instantiateCore, type CoreExports, type CoreKind } from 'multifd/core';

export const KINDS: readonly CoreKind[] = ['shared', 'plain'];

const modules = Object.fromEntries(
  await Promise.all(KINDS.map(async (kind) => [kind, await compileCore(kind)])),
);

export interface Bench {
  core: CoreExports;
  memory: WebAssembly.Memory;
  bytes: Uint8Array;
  view: DataView;
}

/** A core of its own over a new zeroed memory of `wasmPages` times 64 KiB. */
export async function bench(kind: CoreKind, wasmPages = 4): Promise<Bench> {
  const shape = { initial: wasmPages, maximum: wasmPages };
  const memory = new WebAssembly.Memory(kind === 'shared' ? { ...shape, shared: true } : shape);
  const core = await instantiateCore(memory, modules[kind]);
  return { core, memory, bytes: new Uint8Array(memory.buffer), view: new DataView(memory.buffer) };
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));
}
