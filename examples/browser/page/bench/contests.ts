import {
  type CoreExports,
  encodeId,
  hashKeyLength,
  HASH_LENGTH,
  instantiateCore,
  pagesPerPacket,
  ramHeaderLength,
} from 'multifd/core';
import { countZeroPages, fillHeader, gather, hashPages } from './plain.ts';

const PAGE = 4096;
const BATCH = pagesPerPacket(PAGE);
const MASK_PAGES = 32;
const HEADERS = 20_000;
const GIB = 2 ** 30;
const WASM_PAGE = 65536;

/** One thing to do, by the core and in plain JavaScript. */
export interface Contest {
  name: string;
  about: string;
  unit: 'GiB/s' | 'million/s';
  /** What one run does, in units. */
  work: number;
  /** What the two have to agree on, if they compute the same. */
  core: () => number | undefined;
  plain: () => number | undefined;
  prepare: () => void;
}

/** The places in the memory of all contests: small things first, then the RAM. */
interface Bench {
  core: CoreExports;
  memory: WebAssembly.Memory;
  /** Bytes of RAM. */
  length: number;
  ram: number;
  key: number;
  batch: number;
  header: number;
  counter: number;
  id: number;
  offsets: number;
  hashes: number;
}

export async function contests(mebibytes: number): Promise<Contest[]> {
  const length = mebibytes * 2 ** 20;
  let end = 0;
  const place = (bytes: number): number => {
    const at = end;
    end += Math.ceil(bytes / PAGE) * PAGE;
    return at;
  };
  const places = {
    key: place(hashKeyLength(PAGE)),
    batch: place(BATCH * PAGE),
    header: place(ramHeaderLength(BATCH)),
    counter: place(8),
    id: place(256),
    offsets: place((length / PAGE) * 8),
    hashes: place((length / PAGE) * HASH_LENGTH),
    ram: place(length),
  };
  const memory = new WebAssembly.Memory({ initial: Math.ceil(end / WASM_PAGE) });
  const bench = { core: await instantiateCore(memory), memory, length, ...places };
  crypto.getRandomValues(new Uint8Array(memory.buffer, places.key, hashKeyLength(PAGE)));
  new Uint8Array(memory.buffer, places.id, 256).set(encodeId('ram'));
  return [
    zeroScan(bench, 'Zero scan, all pages zero', 'each byte has to be read', (ram) => ram.fill(0)),
    zeroScan(
      bench,
      'Zero scan, little content',
      '16 bytes at three quarters of a page, where the core does not look first',
      (ram) => fillEach(ram, (PAGE / 4) * 3),
    ),
    zeroScan(
      bench,
      'Zero scan, content at the start',
      'one look is enough, the core takes three at once',
      (ram) => fillEach(ram, 0),
    ),
    hashing(bench),
    gathering(bench),
    headers(bench),
  ];
}

function zeroScan(
  { core, memory, ram, length }: Bench,
  name: string,
  about: string,
  fill: (ram: Uint8Array) => void,
): Contest {
  const bytes = new Uint8Array(memory.buffer, ram, length);
  const words = new Uint32Array(memory.buffer, ram, length / 4);
  return {
    name,
    about,
    unit: 'GiB/s',
    work: length / GIB,
    prepare() {
      // Pages that were never touched are all one and the same to the machine.
      bytes.fill(1);
      bytes.fill(0);
      fill(bytes);
    },
    core() {
      let zero = 0;
      for (let at = ram; at < ram + length; at += MASK_PAGES * PAGE)
        zero += ones(core.zeroMask(at, PAGE, MASK_PAGES));
      return zero;
    },
    plain: () => countZeroPages(words, PAGE),
  };
}

function hashing({ core, memory, ram, length, key, hashes }: Bench): Contest {
  const words = new Uint32Array(memory.buffer, ram, length / 4);
  const out = new Uint32Array(length / PAGE);
  return {
    name: 'Page hash',
    about: '128 bits by the core; JavaScript makes 32, by xxHash32',
    unit: 'GiB/s',
    work: length / GIB,
    prepare: () => fillRandomly(new Uint8Array(memory.buffer, ram, length)),
    core: () => void core.hashPages(ram, PAGE, length / PAGE, key, hashes),
    plain: () => void hashPages(words, PAGE, out),
  };
}

function gathering({ core, memory, ram, length, offsets, batch }: Bench): Contest {
  const bytes = new Uint8Array(memory.buffer, ram, length);
  const target = new Uint8Array(memory.buffer, batch, BATCH * PAGE);
  const order = shuffledOffsets(length);
  const batches = Array.from({ length: order.length / BATCH }, (_, index) =>
    order.subarray(index * BATCH, (index + 1) * BATCH),
  );
  return {
    name: 'Gather',
    about: `${BATCH} random pages into a packet; JavaScript by TypedArray.set`,
    unit: 'GiB/s',
    work: length / GIB,
    prepare: () => storeOffsets(memory, offsets, order),
    core() {
      for (let first = 0; first < order.length; first += BATCH)
        core.gather(batch, ram, offsets + 8 * first, BATCH, PAGE);
      return fold(target);
    },
    plain() {
      for (const list of batches) gather(target, bytes, list, PAGE);
      return fold(target);
    },
  };
}

function headers({ core, memory, length, header, counter, id, offsets }: Bench): Contest {
  const order = shuffledOffsets(length).subarray(0, BATCH);
  const bytes = new Uint8Array(memory.buffer, header, ramHeaderLength(BATCH));
  const view = new DataView(memory.buffer, header, bytes.length);
  const name = new Uint8Array(memory.buffer, id, 256);
  return {
    name: 'Packet headers',
    about: `a header with ${BATCH} offsets; JavaScript by DataView`,
    unit: 'million/s',
    work: HEADERS / 1e6,
    prepare: () => storeOffsets(memory, offsets, order),
    core() {
      new DataView(memory.buffer).setBigUint64(counter, 0n, true);
      for (let packet = 0; packet < HEADERS; packet++)
        core.fillRam(header, 0, BATCH, BATCH, 0, BATCH * PAGE, counter, id, offsets);
      return fold(bytes);
    },
    plain() {
      for (let packet = 0; packet < HEADERS; packet++) fillHeader(view, name, order, PAGE, packet);
      return fold(bytes);
    },
  };
}

function fillEach(ram: Uint8Array, at: number): void {
  for (let page = 0; page < ram.length; page += PAGE) ram.fill(0xa5, page + at, page + at + 16);
}

function fillRandomly(ram: Uint8Array<ArrayBuffer>): void {
  const piece = ram.subarray(0, WASM_PAGE);
  crypto.getRandomValues(piece);
  for (let at = WASM_PAGE; at < ram.length; at += WASM_PAGE) ram.set(piece, at);
}

function shuffledOffsets(length: number): Float64Array {
  const offsets = Float64Array.from({ length: length / PAGE }, (_, page) => page * PAGE);
  for (let last = offsets.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [offsets[last], offsets[other]] = [offsets[other]!, offsets[last]!];
  }
  return offsets;
}

function storeOffsets(memory: WebAssembly.Memory, at: number, offsets: Float64Array): void {
  new BigUint64Array(memory.buffer, at, offsets.length).set(BigUint64Array.from(offsets, BigInt));
}

function ones(mask: number): number {
  let word = mask - ((mask >>> 1) & 0x55555555);
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Differs where bytes differ, all but surely. */
function fold(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, 0);
}
