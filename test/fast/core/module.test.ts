import { compileCore, coreKind, instantiateCore, instantiateCoreSync } from 'multifd/core';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { KINDS } from './support.ts';

const EXPORTS = [
  'checkDeviceState',
  'checkInitial',
  'checkRam',
  'clear',
  'clearRun',
  'compact',
  'compareMask',
  'countBits',
  'fillDeviceState',
  'fillInitial',
  'fillRam',
  'gather',
  'hash',
  'hashPages',
  'markPages',
  'neighbours',
  'nextRun',
  'normalPages',
  'partition',
  'runEnd',
  'runs',
  'scatter',
  'zeroMask',
  'zeroMaskAt',
];

/**
 * Ids of WebAssembly's module sections. A start function, table, global, data or custom section
 * would be another.
 */
const SECTIONS = { type: 1, import: 2, function: 3, export: 7, code: 10 };

function sectionIds(wasm: Uint8Array): number[] {
  const ids: number[] = [];
  for (let at = 8; at < wasm.length; ) {
    ids.push(wasm[at++] ?? -1);
    let length = 0;
    for (let shift = 0, byte = 0x80; byte & 0x80; shift += 7) {
      byte = wasm[at++] ?? 0;
      length |= (byte & 0x7f) << shift;
    }
    at += length;
  }
  return ids;
}

function memoryFor(kind: 'shared' | 'plain'): WebAssembly.Memory {
  return new WebAssembly.Memory(
    kind === 'shared' ? { initial: 1, maximum: 9, shared: true } : { initial: 1 },
  );
}

describe.each(KINDS)('the %s build', (kind) => {
  it('has only type, import, function, export and code sections', () => {
    const wasm = readFileSync(new URL(`../../../build/core.${kind}.wasm`, import.meta.url));
    expect(sectionIds(wasm)).toEqual(Object.values(SECTIONS));
  });

  it('imports its memory and nothing else, and exports functions only', async () => {
    const module = await compileCore(kind);
    expect(WebAssembly.Module.imports(module)).toEqual([
      { module: 'env', name: 'memory', kind: 'memory' },
    ]);
    const exported = WebAssembly.Module.exports(module);
    expect(exported.map(({ name }) => name).sort()).toEqual(EXPORTS);
    expect(exported.filter((item) => item.kind !== 'function')).toEqual([]);
  });

  it('writes nothing to the memory when it is instantiated', async () => {
    const memory = memoryFor(kind);
    const bytes = new Uint8Array(memory.buffer).fill(0xa5);
    await instantiateCore(memory);
    instantiateCoreSync(memory, await compileCore(kind));
    expect(bytes.every((byte) => byte === 0xa5)).toBe(true);
  });

  it('gives the bare exports of the instance', async () => {
    const memory = memoryFor(kind);
    expect(coreKind(memory)).toBe(kind);
    const core = await instantiateCore(memory);
    expect(Object.keys(core).sort()).toEqual(EXPORTS);
    expect(core.zeroMask(0, 4096, 16)).toBe(0xffff);
  });

  it('refuses a memory of the other kind, and names the build that it needs', async () => {
    const module = await compileCore(kind);
    const other = kind === 'shared' ? 'plain' : 'shared';
    const refusal = {
      code: 'ERR_OPTION',
      message: expect.stringContaining(`compileCore('${other}')`),
    };
    await expect(instantiateCore(memoryFor(other), module)).rejects.toMatchObject(refusal);
    expect(() => instantiateCoreSync(memoryFor(other), module)).toThrow(
      expect.objectContaining(refusal),
    );
  });
});
