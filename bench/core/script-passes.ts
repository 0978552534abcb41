import {
  BATCH,
  BLOCK_ID,
  BLOCKS_AT,
  type Ground,
  ID_BYTES,
  type Kernel,
  OFFSETS_AT,
  PACKET_AMOUNT,
  PACKET_AT,
  PACKETS,
  PAGE,
  PAGE_AMOUNT,
  type Pass,
  RAM_AT,
  SLOT_AT,
} from './ground.ts';

const OFFSETS_IN_PACKET = 320;

/** What is there in Node and its relatives: native code behind a method. */
interface NodeBuffer {
  compare(
    target: Uint8Array,
    targetStart: number,
    targetEnd: number,
    start: number,
    end: number,
  ): number;
}
type BufferClass = { from(buffer: ArrayBufferLike): NodeBuffer };

/**
 * The best that plain JavaScript does here, over a memory of its own: `Buffer.compare` where there
 * is one, loops over 32-bit words elsewhere.
 */
export function scriptPass(kernel: Kernel, ground: Ground): Pass {
  const { bytes, pages, copyAt } = ground;
  const words = new Int32Array(bytes.buffer);
  const offsets = Float64Array.from(new BigUint64Array(bytes.buffer, OFFSETS_AT, pages), Number);
  switch (kernel) {
    case 'zero scan: all zero':
    case 'zero scan: the last 16 bytes not':
    case 'zero scan: the first byte not': {
      const isZero = zeroTest(bytes, words);
      return () => {
        let zeros = 0;
        for (let page = 0; page < pages; page++) if (isZero(RAM_AT + offsets[page]!)) zeros++;
        if (zeros !== (kernel === 'zero scan: all zero' ? pages : 0))
          throw new Error('the pages are not what they were filled with');
        return pages * PAGE_AMOUNT;
      };
    }
    case 'compare': {
      const differs = difference(bytes, words);
      return () => {
        for (let page = 0; page < pages; page++)
          if (differs(RAM_AT + page * PAGE, copyAt + page * PAGE))
            throw new Error('a page is not what it was filled with');
        return pages * PAGE_AMOUNT;
      };
    }
    case 'hash': {
      const out = new Int32Array(4 * pages);
      return () => {
        for (let page = 0; page < pages; page++)
          hash(words, (RAM_AT + page * PAGE) >> 2, out, 4 * page);
        return pages * PAGE_AMOUNT;
      };
    }
    case 'gather: scattered':
    case 'gather: neighbours':
      return () => {
        for (let page = 0; page < pages; page++) {
          const from = RAM_AT + offsets[page]!;
          bytes.copyWithin(SLOT_AT + (page % BATCH) * PAGE, from, from + PAGE);
        }
        return pages * PAGE_AMOUNT;
      };
    case 'scatter':
      return () => {
        for (let page = 0; page < pages; page++) {
          const from = SLOT_AT + (page % BATCH) * PAGE;
          bytes.copyWithin(RAM_AT + offsets[page]!, from, from + PAGE);
        }
        return pages * PAGE_AMOUNT;
      };
    case 'packet: fill':
      return () => {
        fillPackets(bytes, offsets);
        return PACKETS * PACKET_AMOUNT;
      };
    case 'packet: check':
      fillPackets(bytes, offsets);
      return () => {
        if (!checkPackets(bytes, new Float64Array(BATCH), pages * PAGE))
          throw new Error('a right packet was refused');
        return PACKETS * PACKET_AMOUNT;
      };
  }
}

function nodeBuffer(bytes: Uint8Array): NodeBuffer | undefined {
  return (globalThis as { Buffer?: BufferClass }).Buffer?.from(bytes.buffer);
}

function zeroTest(bytes: Uint8Array, words: Int32Array): (at: number) => boolean {
  const buffer = nodeBuffer(bytes);
  const zeros = new Uint8Array(PAGE);
  const probed = (at: number): boolean =>
    (words[at >> 2]! | words[(at + PAGE / 2) >> 2]! | words[(at + PAGE - 4) >> 2]!) === 0;
  if (buffer !== undefined)
    return (at) => probed(at) && buffer.compare(zeros, 0, PAGE, at, at + PAGE) === 0;
  return (at) => {
    if (!probed(at)) return false;
    for (let i = at >> 2, end = i + PAGE / 4; i < end; i += 8) {
      if (
        (words[i]! |
          words[i + 1]! |
          words[i + 2]! |
          words[i + 3]! |
          words[i + 4]! |
          words[i + 5]! |
          words[i + 6]! |
          words[i + 7]!) !==
        0
      )
        return false;
    }
    return true;
  };
}

function difference(bytes: Uint8Array, words: Int32Array): (a: number, b: number) => boolean {
  const buffer = nodeBuffer(bytes);
  if (buffer !== undefined) return (a, b) => buffer.compare(bytes, b, b + PAGE, a, a + PAGE) !== 0;
  return (a, b) => {
    for (let i = a >> 2, j = b >> 2, end = i + PAGE / 4; i < end; i += 4, j += 4) {
      if (
        ((words[i]! ^ words[j]!) |
          (words[i + 1]! ^ words[j + 1]!) |
          (words[i + 2]! ^ words[j + 2]!) |
          (words[i + 3]! ^ words[j + 3]!)) !==
        0
      )
        return true;
    }
    return false;
  };
}

/**
 * Four lanes of 32 bits in the manner of xxHash: not the core's function, for 64-bit products are
 * out of reach here.
 */
function hash(words: Int32Array, from: number, out: Int32Array, at: number): void {
  let [a, b, c, d] = [1, 2, 3, 4];
  for (let i = from, end = from + PAGE / 4; i < end; i += 4) {
    a = turned(a! + Math.imul(words[i]!, 0x85ebca77));
    b = turned(b! + Math.imul(words[i + 1]!, 0x85ebca77));
    c = turned(c! + Math.imul(words[i + 2]!, 0x85ebca77));
    d = turned(d! + Math.imul(words[i + 3]!, 0x85ebca77));
  }
  out[at] = a!;
  out[at + 1] = b!;
  out[at + 2] = c!;
  out[at + 3] = d!;
}

function turned(lane: number): number {
  return Math.imul((lane << 13) | (lane >>> 19), 0x9e3779b1);
}

function fillPackets(bytes: Uint8Array, offsets: Float64Array): void {
  const view = new DataView(bytes.buffer, PACKET_AT);
  for (let packet = 0; packet < PACKETS; packet++) {
    for (const [at, value] of [
      [0, 0x11223344],
      [4, 1],
      [8, 0],
      [12, BATCH],
      [16, BATCH],
      [20, BATCH * PAGE],
      [24, 0],
      [28, packet],
      [32, 0],
    ] as const)
      view.setUint32(at, value);
    bytes.fill(0, PACKET_AT + 36, PACKET_AT + 64);
    bytes.copyWithin(PACKET_AT + 64, BLOCKS_AT, BLOCKS_AT + ID_BYTES);
    for (let page = 0; page < BATCH; page++) {
      const offset = offsets[page]!;
      view.setUint32(OFFSETS_IN_PACKET + page * 8, offset / 2 ** 32);
      view.setUint32(OFFSETS_IN_PACKET + page * 8 + 4, offset);
    }
  }
}

function checkPackets(bytes: Uint8Array, offsets: Float64Array, usedLength: number): boolean {
  const view = new DataView(bytes.buffer, PACKET_AT);
  let right = true;
  for (let packet = 0; packet < PACKETS; packet++) {
    const normal = view.getUint32(16);
    const zero = view.getUint32(32);
    right &&=
      view.getUint32(0) === 0x11223344 &&
      view.getUint32(4) === 1 &&
      view.getUint32(8) === 0 &&
      view.getUint32(12) === BATCH &&
      normal + zero <= BATCH &&
      view.getUint32(20) === normal * PAGE;
    for (let i = 0; i <= BLOCK_ID.length; i++)
      right &&= bytes[PACKET_AT + 64 + i] === bytes[BLOCKS_AT + i];
    for (let page = 0; page < normal + zero; page++) {
      const offset =
        view.getUint32(OFFSETS_IN_PACKET + page * 8) * 2 ** 32 +
        view.getUint32(OFFSETS_IN_PACKET + page * 8 + 4);
      right &&= offset % PAGE === 0 && offset <= usedLength - PAGE;
      offsets[page] = offset;
    }
  }
  return right;
}
