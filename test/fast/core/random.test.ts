import { BLOCK_ENTRY, COMPRESSION, RAM, ramHeaderLength, type CoreExports } from 'multifd/core';
import { describe, expect, it } from 'vitest';
import { model } from './model.ts';
import { Random, SEED } from '../../support/random.ts';
import { KINDS, bench } from './support.ts';

/**
 * Every export on random arguments, against the model, in two equal memories full of random bytes.
 * Afterwards the results and the whole memories must be equal, so every byte that was not to be
 * written is a canary.
 */

const MEMORY_BYTES = 4 * 65536;
const CASES = 60;

type Range = readonly [start: number, length: number];

/** One call with its arguments, and what it may leave undefined. */
interface Call {
  run: (core: CoreExports) => number | void;
  undefinedAfter?: (result: number) => readonly Range[];
}

/** Hands out memory at random distances, for one case. */
class Place {
  #next = 8;
  readonly random: Random;
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(random: Random, bytes: Uint8Array) {
    this.random = random;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  take(length: number, alignment = 1): number {
    const at = Math.ceil((this.#next + this.random.below(70)) / alignment) * alignment;
    this.#next = at + length;
    if (this.#next > this.bytes.length)
      throw new RangeError('the case needs more memory than there is');
    return at;
  }

  word64(value: bigint, alignment = 1): number {
    const at = this.take(8, alignment);
    this.view.setBigUint64(at, value, true);
    return at;
  }

  list(values: readonly number[]): number {
    const at = this.take(8 * values.length);
    for (const [i, value] of values.entries())
      this.view.setBigUint64(at + 8 * i, BigInt(value), true);
    return at;
  }

  /** Pages, about half of them zero, or zero but for one byte. */
  pages(pageSize: number, count: number): number {
    const at = this.take(pageSize * count);
    for (let i = 0; i < count; i++) {
      if (this.random.chance(0.4)) continue;
      const page = this.bytes.subarray(at + i * pageSize, at + (i + 1) * pageSize).fill(0);
      if (this.random.chance(0.4)) page[this.random.below(pageSize)] = 1 + this.random.below(255);
    }
    return at;
  }

  id(text: string): number {
    const at = this.take(256);
    this.bytes.fill(0, at, at + 256);
    this.bytes.set(Buffer.from(text), at);
    return at;
  }
}

interface Shape {
  pageSize: number;
  count: number;
}

function shape(random: Random, most = 70): Shape {
  const pageSize = random.pick([64, 128, 192, 512, 4096]);
  const count = random.below(pageSize === 4096 ? 12 : most);
  return { pageSize, count };
}

/** Page numbers below `end`: runs of neighbours, jumps, and now and then a page twice. */
function pageNumbers(random: Random, count: number, end: number): number[] {
  const numbers: number[] = [];
  let next = random.below(end);
  for (let i = 0; i < count; i++) {
    if (next >= end || random.chance(0.3)) next = random.below(end);
    numbers.push(next++);
  }
  return numbers;
}

function offsets(random: Random, { pageSize, count }: Shape, end: number): number[] {
  return pageNumbers(random, count, end).map((number) => number * pageSize);
}

const CALLS: Record<keyof CoreExports, (place: Place, random: Random) => Call> = {
  normalPages(place, random) {
    const { pageSize, count } = shape(random);
    const pages = place.pages(pageSize, count);
    return { run: (core) => core.normalPages(pages, pageSize, count) };
  },

  zeroMask(place, random) {
    const { pageSize, count } = shape(random, 33);
    const pages = place.pages(pageSize, count);
    return { run: (core) => core.zeroMask(pages, pageSize, count) >>> 0 };
  },

  zeroMaskAt(place, random) {
    const { pageSize, count } = shape(random);
    const base = place.pages(pageSize, 20);
    const list = place.list(offsets(random, { pageSize, count }, 20));
    const mask = place.take(4 * Math.ceil(count / 32));
    return { run: (core) => core.zeroMaskAt(base, list, pageSize, count, mask) };
  },

  compareMask(place, random) {
    const { pageSize, count } = shape(random, 33);
    const a = place.pages(pageSize, count);
    const b = place.take(pageSize * count);
    place.bytes.copyWithin(b, a, a + pageSize * count);
    for (let i = 0; i < count; i++)
      if (random.chance(0.4))
        place.bytes[b + random.below(pageSize * count)]! ^= 1 << random.below(8);
    return { run: (core) => core.compareMask(a, b, pageSize, count) >>> 0 };
  },

  neighbours(place, random) {
    const { pageSize, count } = shape(random);
    const first = random.pick([0, 1000, 2 ** 32 - count]);
    const list = place.take(8 * count);
    return { run: (core) => core.neighbours(list, first, count, pageSize) };
  },

  partition(place, random) {
    const count = random.below(150);
    const list = place.take(8 * count);
    const mask = place.take(Math.ceil(count / 8));
    const scratch = place.take(8 * count);
    return {
      run: (core) => core.partition(list, count, mask, scratch),
      undefinedAfter: () => [[scratch, 8 * count]],
    };
  },

  compact(place, random) {
    const { pageSize, count } = shape(random);
    const pages = place.take(pageSize * count);
    const mask = place.take(Math.ceil(count / 8));
    return {
      run: (core) => core.compact(pages, pageSize, count, mask),
      undefinedAfter: (normal) => [[pages + normal * pageSize, (count - normal) * pageSize]],
    };
  },

  gather(place, random) {
    const { pageSize, count } = shape(random);
    const base = place.take(20 * pageSize);
    const dst = place.take(count * pageSize);
    const list = place.list(offsets(random, { pageSize, count }, 20));
    return { run: (core) => core.gather(dst, base, list, count, pageSize) };
  },

  scatter(place, random) {
    const { pageSize, count } = shape(random);
    const base = place.take(20 * pageSize);
    const src = place.take(count * pageSize);
    const list = place.list(offsets(random, { pageSize, count }, 20));
    return { run: (core) => core.scatter(base, src, list, count, pageSize) };
  },

  clear(place, random) {
    const { pageSize, count } = shape(random);
    const base = place.pages(pageSize, 20);
    const list = place.list(offsets(random, { pageSize, count }, 20));
    return { run: (core) => core.clear(base, list, count, pageSize) };
  },

  clearRun(place, random) {
    const { pageSize, count } = shape(random);
    const pages = place.pages(pageSize, count);
    return { run: (core) => core.clearRun(pages, pageSize, count) };
  },

  runs(place, random) {
    const { pageSize, count } = shape(random);
    const end = random.pick([50, 2 ** 32, Math.floor((Number.MAX_SAFE_INTEGER - 1e6) / pageSize)]);
    const list = place.list(offsets(random, { pageSize, count }, end));
    const out = place.take(16 * count);
    return { run: (core) => core.runs(list, count, pageSize, out) };
  },

  hash(place, random) {
    const pageSize = random.pick([64, 128, 192, 512, 4096]);
    const page = place.pages(pageSize, 1);
    const key = place.take(pageSize + 32);
    const out = place.take(16);
    return { run: (core) => core.hash(page, pageSize, key, out) };
  },

  hashPages(place, random) {
    const { pageSize, count } = shape(random);
    const pages = place.pages(pageSize, count);
    const key = place.take(pageSize + 32);
    const out = place.take(16 * count);
    return { run: (core) => core.hashPages(pages, pageSize, count, key, out) };
  },

  markPages(place, random) {
    const { pageSize, count } = shape(random);
    const list = place.list(offsets(random, { pageSize, count }, 512));
    const bitmap = place.take(64, 8);
    const present = random.below(2);
    return { run: (core) => core.markPages(bitmap, list, count, pageSize, present) };
  },

  nextRun: (place, random) => scan(place, random, 0x00, 'nextRun'),
  runEnd: (place, random) => scan(place, random, 0xff, 'runEnd'),

  countBits(place, random) {
    const bitmap = place.take(64, 8);
    const end = random.below(513);
    return { run: (core) => core.countBits(bitmap, end) };
  },

  fillInitial(place, random) {
    const uuid = place.take(16);
    const dst = place.take(64);
    const id = random.below(256);
    return { run: (core) => core.fillInitial(dst, uuid, id) };
  },

  checkInitial(place, random) {
    const uuid = place.take(16);
    const src = place.take(64);
    model(place.bytes).fillInitial(src, uuid, random.below(8));
    spoil(place, random, [[src, 25]]);
    return { run: (core) => core.checkInitial(src, uuid, 6) };
  },

  fillRam(place, random) {
    const pagesAlloc = random.below(140);
    const normal = random.below(pagesAlloc + 1);
    const zero = random.below(pagesAlloc - normal + 1);
    const dst = place.take(ramHeaderLength(pagesAlloc));
    const counter = place.take(8, 8);
    const id = random.chance(0.2) ? 0 : place.take(256);
    const list = place.take(8 * (normal + zero));
    const [flags, payload] = [random.word(), random.word()];
    return {
      run: (core) => core.fillRam(dst, flags, pagesAlloc, normal, zero, payload, counter, id, list),
    };
  },

  checkRam(place, random) {
    const { pageSize } = shape(random);
    const pagesAlloc = 1 + random.below(30);
    const normal = random.below(pagesAlloc + 1);
    const zero = random.below(pagesAlloc - normal + 1);
    const compression = random.pick(Object.values(COMPRESSION));

    const names = ['a', 'ab', 'pc.ram', 'x'.repeat(255), '0000:00:02.0/vga.vram'];
    const blocks = place.take(BLOCK_ENTRY.length * names.length);
    const pages = 1 + random.below(100);
    for (const [i, name] of names.entries()) {
      const entry = blocks + BLOCK_ENTRY.length * i;
      place.bytes.fill(0, entry, entry + 256).set(Buffer.from(name), entry);
      place.view.setBigUint64(
        entry + BLOCK_ENTRY.usedLength,
        BigInt(pages * pageSize + random.below(2) * random.below(pageSize)),
        true,
      );
    }

    const src = place.take(ramHeaderLength(pagesAlloc));
    const id = place.id(random.chance(0.1) ? 'another' : random.pick(names));
    const list = place.list(offsets(random, { pageSize, count: normal + zero }, pages));
    const counter = place.word64(BigInt(random.word()), 8);
    const payload =
      compression === COMPRESSION.none
        ? normal * pageSize
        : 1 + random.below(normal * pageSize + 1024);
    const flags = random.below(2) | (compression << 1);
    model(place.bytes).fillRam(src, flags, pagesAlloc, normal, zero, payload, counter, id, list);
    spoil(place, random, [
      [src, RAM.packetNum],
      [src + RAM.zeroPages, 4],
      [src + RAM.ramblock, 8],
      [src + RAM.offset, 8 * (normal + zero)],
    ]);

    const out = place.take(32);
    const outOffsets = place.take(8 * pagesAlloc);
    return {
      run: (core) =>
        core.checkRam(
          src,
          pagesAlloc,
          pageSize,
          compression,
          blocks,
          names.length,
          out,
          outOffsets,
        ),
      undefinedAfter: (refused) => (refused === 0 ? [] : [[outOffsets, 8 * pagesAlloc]]),
    };
  },

  fillDeviceState(place, random) {
    const idstr = place.take(256);
    const dst = place.take(276);
    const [instanceId, payload] = [random.word(), random.word()];
    return { run: (core) => core.fillDeviceState(dst, idstr, instanceId, payload) };
  },

  checkDeviceState(place, random) {
    const idstr = random.chance(0.1)
      ? place.take(256)
      : place.id(random.pick(['', 'a', 'x'.repeat(255)]));
    const src = place.take(276);
    const limit = random.word();
    model(place.bytes).fillDeviceState(src, idstr, random.word(), random.below(limit + 1));
    spoil(place, random, [
      [src, 12],
      [src + 272, 4],
    ]);
    const out = place.take(8);
    return { run: (core) => core.checkDeviceState(src, limit, out) };
  },
};

/**
 * A bitmap of `background` with a few random bits, and one of the two scans over a random part of
 * it.
 */
function scan(place: Place, random: Random, background: number, name: 'nextRun' | 'runEnd'): Call {
  const bitmap = place.take(64, 8);
  const bits = place.bytes.subarray(bitmap, bitmap + 64).fill(background);
  for (let i = random.below(6); i > 0; i--) bits[random.below(64)]! ^= 1 << random.below(8);
  const from = random.below(513);
  const end = random.below(513);
  return { run: (core) => core[name](bitmap, from, end) };
}

/** In one of two cases, turns a bit over somewhere in the ranges. */
function spoil(place: Place, random: Random, ranges: readonly Range[]): void {
  const bytes = ranges.flatMap(([start, length]) => Array.from({ length }, (_, i) => start + i));
  if (bytes.length > 0 && random.chance(0.5))
    place.bytes[random.pick(bytes)]! ^= 1 << random.below(8);
}

describe.each(KINDS)('the %s build does what the model does', (kind) => {
  it.each(Object.keys(CALLS) as (keyof CoreExports)[])(`%s, SEED ${SEED}`, async (name) => {
    const { core, bytes } = await bench(kind, MEMORY_BYTES / 65536);
    const mirror = new Uint8Array(MEMORY_BYTES);
    const modelled = model(mirror);
    const random = new Random(SEED);
    for (let i = 0; i < CASES; i++) {
      random.fill(mirror);
      const { run, undefinedAfter } = CALLS[name](new Place(random, mirror), random);
      bytes.set(mirror);
      const result = run(core);
      expect(result, `result of case ${i}`).toBe(run(modelled));
      for (const [start, length] of undefinedAfter?.(result ?? 0) ?? []) {
        bytes.fill(0, start, start + length);
        mirror.fill(0, start, start + length);
      }
      const different =
        Buffer.compare(bytes, mirror) === 0
          ? -1
          : bytes.findIndex((byte, at) => byte !== mirror[at]);
      expect(different, `first byte that differs after case ${i}`).toBe(-1);
    }
  });
});
