import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import type { Decoder } from '../../../src/compression/codec.ts';
import { portableZstdDecoder } from '../../../src/compression/codecs/portable-zstd.ts';
import { wasmZstdEncoder } from '../../../src/compression/codecs/wasm-zstd-encoder.ts';
import { Random, SEED } from '../../support/random.ts';
import { concat } from '../../support/wire.ts';

const PACKET = 128 * 4096;
const BLOCK = 128 * 1024;
/** The head of a frame with a window of so many times 1 KiB, as a power of two. */
const frame = (exponent: number): Uint8Array =>
  Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3);
/** A compressed block that holds `size` times the same byte: literals, and no sequences. */
const repeated = (size: number, byte: number): Uint8Array => {
  const literals = (size << 4) | (3 << 2) | 1;
  return Uint8Array.of(
    ...[(5 << 3) | (2 << 1), 0, 0],
    ...[literals, literals >> 8, literals >> 16, byte, 0],
  );
};

/** Packets of words and noise, some of few bytes, and what they become. */
interface Stream {
  packets: readonly Uint8Array[];
  payloads: readonly Uint8Array[];
}

async function streamOf(random: Random): Promise<Stream> {
  const packets = Array.from({ length: 6 }, () => packetOf(random));
  const encoder = await wasmZstdEncoder(1 + random.below(9));
  const payloads: Uint8Array[] = [];
  for (const packet of packets) payloads.push(concat(...(await encoder.encode(packet))));
  encoder.close();
  return { packets, payloads };
}

function packetOf(random: Random): Uint8Array {
  const words = Array.from({ length: 50 }, () => random.bytes(1 + random.below(12)));
  const packet = random.bytes(random.chance(0.3) ? 4096 : PACKET);
  for (let at = random.below(packet.length); at < packet.length; ) {
    const word = random.pick(words).subarray(0, packet.length - at);
    packet.set(word, at);
    at += word.length;
  }
  return packet;
}

describe.each([
  { where: 'a thread of its own', ownThread: true },
  { where: 'a thread with others', ownThread: false },
])('zstd where the runtime has none, in $where', ({ ownThread }) => {
  const decoders: Decoder[] = [];
  const opened = async (): Promise<Decoder> => {
    const decoder = await portableZstdDecoder(ownThread);
    decoders.push(decoder);
    return decoder;
  };
  afterAll(() => {
    for (const decoder of decoders) decoder.close();
  });

  describe(`streams at random, MULTIFD_SEED=${SEED}`, () => {
    let streams: Stream[];
    beforeAll(async () => {
      const random = new Random(SEED);
      // One after the other: the encoder has one stream.
      streams = [];
      for (let i = 0; i < 3; i++) streams.push(await streamOf(random));
    });

    it('several at a time, into memory that is shared, give what went in', async () => {
      const open = await Promise.all(streams.map(opened));
      for (const at of streams[0]!.packets.keys())
        for (const [i, { packets, payloads }] of streams.entries()) {
          const into = new Uint8Array(new SharedArrayBuffer(packets[at]!.length));
          await open[i]!.decode(payloads[at]!, into);
          expect(Buffer.compare(into, packets[at]!)).toBe(0);
        }
    });

    it('a packet that is cut short, or longer or shorter than its pages, is refused', async () => {
      const { packets, payloads } = streams[0]!;
      const [packet, payload] = [packets[0]!, payloads[0]!];
      const refused = async (given: Uint8Array, length: number): Promise<void> =>
        expect((await opened()).decode(given, new Uint8Array(length))).rejects.toMatchObject({
          code: 'ERR_DECOMPRESS',
        });
      await refused(payload.subarray(0, -1), packet.length);
      await refused(payload, packet.length - 1);
      await refused(payload, packet.length + 1);
    });
  });

  it('stops at the first bytes that are too many', async () => {
    const bomb = concat(frame(10), ...Array.from({ length: 1000 }, () => repeated(BLOCK, 7)));
    const into = new Uint8Array(PACKET + 1);
    await expect((await opened()).decode(bomb, into.subarray(0, PACKET))).rejects.toMatchObject({
      code: 'ERR_DECOMPRESS',
      message: `the compressed data yields more than the ${PACKET} bytes its pages have`,
    });
    expect(into.at(-1)).toBe(0);
  });

  it('takes full blocks, payloads of empty blocks, and of nothing', async () => {
    const decoder = await opened();
    const into = new Uint8Array(PACKET);
    const full = [1, 2, 3, 4].map((byte) => repeated(BLOCK, byte));
    await decoder.decode(concat(frame(17), ...full), into);
    await decoder.decode(new Uint8Array(9), into.subarray(0, 0));
    await decoder.decode(new Uint8Array(0), into.subarray(0, 0));
    expect([0, 1, 2, 3].map((block) => into[(block + 1) * BLOCK - 1])).toEqual([1, 2, 3, 4]);
    await decoder.decode(concat(...full.toReversed()), into);
    expect([0, 1, 2, 3].map((block) => into[block * BLOCK])).toEqual([4, 3, 2, 1]);
  });

  it('refuses a broken block in the middle, and is closed after it', async () => {
    const decoder = await opened();
    const into = new Uint8Array(2 * BLOCK);
    const nonsense = concat(Uint8Array.of((200 << 3) | 4, 6, 0), new Uint8Array(200).fill(0xee));
    await expect(
      decoder.decode(concat(frame(10), repeated(BLOCK, 1), nonsense), into),
    ).rejects.toMatchObject({ code: 'ERR_DECOMPRESS' });
    expect(() => decoder.close()).not.toThrow();
  });
});

test('a decoder that was closed leaves its memory to the next', async () => {
  for (let i = 0; i < 40; i++) {
    const decoder = await portableZstdDecoder(true);
    await decoder.decode(concat(frame(17), repeated(4096, i)), new Uint8Array(4096));
    decoder.close();
  }
});
