import {
  compileCore,
  hashKeyLength,
  HASH_LENGTH,
  instantiateCore,
  pagesPerPacket,
  RAM_INFO,
  ramHeaderLength,
  REFUSAL,
  blockTable,
  encodeId,
  packetError,
} from 'multifd/core';
import type { Case } from './case.ts';
import { check, equal } from './check.ts';
import { type Kind, newMemory } from './memory.ts';

const PAGE = 4096;
const FIRST_PAGE = 65536;

const kinds: readonly { kind: Kind; capability: 'core' | 'sharedMemory' }[] = [
  { kind: 'unshared', capability: 'core' },
  { kind: 'shared', capability: 'sharedMemory' },
];

export const CORE_CASES: readonly Case[] = kinds.flatMap(({ kind, capability }) => [
  { capability, name: `zero pages are found, ${kind} memory`, run: () => zeroPages(kind) },
  { capability, name: `a packet is filled and checked, ${kind} memory`, run: () => packet(kind) },
  { capability, name: `pages have hashes, ${kind} memory`, run: () => hashes(kind) },
  {
    capability,
    name: `one module for several memories, ${kind} memory`,
    run: () => oneModule(kind),
  },
]);

async function zeroPages(kind: Kind): Promise<void> {
  const memory = newMemory(kind, 4);
  const core = await instantiateCore(memory);
  const bytes = new Uint8Array(memory.buffer);
  // The first byte of one, the last of another.
  bytes[FIRST_PAGE + 3 * PAGE] = 1;
  bytes[FIRST_PAGE + 31 * PAGE + PAGE - 1] = 1;
  equal(
    core.zeroMask(FIRST_PAGE, PAGE, 32) >>> 0,
    ~((1 << 3) | (1 << 31)) >>> 0,
    'mask of zero pages',
  );
}

async function packet(kind: Kind): Promise<void> {
  const memory = newMemory(kind, 4);
  const core = await instantiateCore(memory);
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  const alloc = pagesPerPacket(PAGE);
  const [counter, id, offsets, header, blocks, out, found] = [
    0, 64, 1024, 4096, 8192, 12288, 16384,
  ];
  bytes.set(encodeId('ram'), id);
  bytes.set(blockTable([{ id: 'ram', usedLength: 64 * PAGE }]), blocks);
  for (const [at, page] of [5, 6, 63].entries())
    view.setBigUint64(offsets + 8 * at, BigInt(page * PAGE), true);
  view.setBigUint64(counter, 7n, true);
  core.fillRam(header, 0, alloc, 2, 1, 2 * PAGE, counter, id, offsets);
  equal(
    core.checkRam(header, alloc, PAGE, 0, blocks, 1, out, found),
    0,
    'what a right packet is refused for',
  );
  const info = [RAM_INFO.block, RAM_INFO.normal, RAM_INFO.zero, RAM_INFO.payload].map((field) =>
    view.getUint32(out + field, true),
  );
  equal(info, [0, 2, 1, 2 * PAGE], 'block, normal pages, zero pages, payload');
  equal(Number(view.getBigUint64(counter, true)), 8, 'the packet counter');

  bytes[header] = 0;
  const refusal = core.checkRam(header, alloc, PAGE, 0, blocks, 1, out, found);
  equal(refusal, REFUSAL.magic, 'why a packet with another first byte is refused');
  const copy = bytes.slice(header, header + ramHeaderLength(alloc));
  equal(packetError(refusal, new DataView(copy.buffer)).code, 'ERR_MAGIC', 'its error');
}

async function hashes(kind: Kind): Promise<void> {
  const memory = newMemory(kind, 4);
  const core = await instantiateCore(memory);
  const bytes = new Uint8Array(memory.buffer);
  const [key, out] = [0, 32768];
  for (let at = 0; at < hashKeyLength(PAGE); at++) bytes[key + at] = (at * 151) & 255;
  bytes[FIRST_PAGE + PAGE + 100] = 1;
  core.hashPages(FIRST_PAGE, PAGE, 3, key, out);
  const [first, second, third] = [0, 1, 2].map((page) =>
    String(bytes.slice(out + page * HASH_LENGTH, out + (page + 1) * HASH_LENGTH)),
  );
  check(first === third, 'equal pages have the same hash');
  check(first !== second, 'a page with another byte has another hash');
}

async function oneModule(kind: Kind): Promise<void> {
  const module = await compileCore(kind === 'shared' ? 'shared' : 'plain');
  const [a, b] = [newMemory(kind, 1), newMemory(kind, 2)];
  const [ofA, ofB] = [await instantiateCore(a, module), await instantiateCore(b, module)];
  new Uint8Array(b.buffer)[0] = 1;
  equal(
    [ofA.zeroMask(0, PAGE, 2), ofB.zeroMask(0, PAGE, 2)],
    [3, 2],
    'each instance looks at its own memory',
  );
}
