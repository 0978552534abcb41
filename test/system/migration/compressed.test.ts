import { constants, deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  part,
  ramHeader,
  start,
  syncPacket,
  ZLIB,
  ZSTD,
} from '../../support/wire.ts';
import { Source } from '../../support/peer.ts';
import {
  LAUNCHERS,
  leavingNothing,
  PAGE,
  pageOf,
  receiving,
  refusal,
} from '../../support/migration.ts';

const INITIAL = 64;
const HEADER = 1344;
const UP_TO_SYNC = concat(
  header(),
  start([{ id: 'ram', length: 64 * PAGE }]),
  flush(),
  endOfSection(),
);

const flushed = (content: Uint8Array): Uint8Array =>
  Uint8Array.from(deflateSync(content, { finishFlush: constants.Z_SYNC_FLUSH }));
const ended = (content: Uint8Array): Uint8Array => Uint8Array.from(deflateSync(content));

/** zstd by hand: magic, a descriptor without anything, a window of 1 MiB. */
const FRAME = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 10 << 3);
type Kind = 'stored' | 'repeated' | 'compressed' | 'reserved';
const KINDS: readonly Kind[] = ['stored', 'repeated', 'compressed', 'reserved'];

/** A block's header of three bytes, and its content. */
function block(kind: Kind, size: number, content: Uint8Array, last = false): Uint8Array {
  const value = (size << 3) | (KINDS.indexOf(kind) << 1) | (last ? 1 : 0);
  return concat(Uint8Array.of(value, value >> 8, value >> 16), content);
}
const stored = (content: Uint8Array, last = false): Uint8Array =>
  block('stored', content.length, content, last);
/** `size` times the same byte, in four bytes. */
const repeated = (size: number, byte = 7): Uint8Array =>
  block('repeated', size, Uint8Array.of(byte));

const noise = Uint8Array.from({ length: PAGE }, (_, i) => (i * 7919) >> 3);

interface Case {
  what: string;
  /** The payload of each packet, each of one page; the last is refused. */
  payloads: Uint8Array[];
}

const BROKEN: Record<'zlib' | 'zstd', Case[]> = {
  zlib: [
    { what: 'garbage', payloads: [pageOf(0xa5, 100)] },
    {
      what: "another stream's beginning in the middle",
      payloads: [flushed(noise), flushed(noise)],
    },
    { what: 'too much, by a byte', payloads: [flushed(new Uint8Array(PAGE + 1))] },
    { what: 'too much, by a thousandfold', payloads: [flushed(new Uint8Array(4 << 20))] },
    { what: 'too little, by a byte', payloads: [flushed(noise.subarray(1))] },
    { what: 'nothing', payloads: [flushed(new Uint8Array(0))] },
    { what: "the stream's end in the middle of a page", payloads: [ended(noise.subarray(0, 100))] },
    { what: "more bytes behind the stream's end", payloads: [concat(ended(noise), pageOf(1, 10))] },
    { what: "a packet behind the stream's end", payloads: [ended(noise), flushed(noise)] },
    { what: 'a block that is not whole', payloads: [flushed(noise).subarray(0, -20)] },
  ],
  zstd: [
    { what: 'garbage', payloads: [pageOf(0xa5, 100)] },
    { what: "zlib's data", payloads: [flushed(noise)] },
    { what: 'a frame header that is not whole', payloads: [FRAME.subarray(0, 5)] },
    {
      what: 'a frame that says its size',
      payloads: [concat(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x60, 0, 0x0f), stored(noise))],
    },
    {
      what: 'a frame that needs a dictionary',
      payloads: [concat(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 1, 80, 9), stored(noise))],
    },
    {
      what: 'a window of 4 TiB',
      payloads: [concat(FRAME.subarray(0, 5), Uint8Array.of(0xff), stored(noise))],
    },
    {
      what: 'a skippable frame',
      payloads: [
        concat(Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 0, 0, 0, 0), FRAME, stored(noise)),
      ],
    },
    {
      what: 'another frame in the middle',
      payloads: [concat(FRAME, stored(noise)), concat(FRAME, stored(noise))],
    },
    { what: "the frame's end", payloads: [concat(FRAME, stored(noise, true))] },
    {
      what: 'a second frame behind the end of the first',
      payloads: [
        concat(FRAME, stored(noise.subarray(0, 100), true), FRAME, stored(noise.subarray(100))),
      ],
    },
    {
      what: 'a block of the reserved kind',
      payloads: [concat(FRAME, block('reserved', 10, new Uint8Array(10)))],
    },
    {
      what: 'a compressed block of nonsense',
      payloads: [concat(FRAME, block('compressed', 200, pageOf(0xee, 200)))],
    },
    {
      what: 'a block header that is not whole',
      payloads: [concat(FRAME, stored(noise), Uint8Array.of(0, 0))],
    },
    { what: 'a block that is not whole', payloads: [concat(FRAME, stored(noise).subarray(0, -1))] },
    { what: 'a block above 128 KiB', payloads: [concat(FRAME, repeated(131073))] },
    { what: 'too much, by a byte', payloads: [concat(FRAME, repeated(PAGE + 1))] },
    {
      what: 'too much, by as much as a payload can hold',
      payloads: [concat(FRAME, ...Array.from({ length: 1000 }, () => repeated(131072)))],
    },
    {
      what: 'too much in a later packet',
      payloads: [concat(FRAME, repeated(PAGE)), concat(repeated(PAGE), repeated(1))],
    },
    { what: 'too little, by a byte', payloads: [concat(FRAME, repeated(PAGE - 1))] },
    { what: 'nothing', payloads: [FRAME] },
    {
      what: 'empty blocks without end',
      payloads: [
        concat(
          FRAME,
          ...Array.from({ length: 1100 }, () => stored(new Uint8Array(0))),
          stored(noise.subarray(0, 1)),
        ),
      ],
    },
  ],
};

describe.each(['zlib', 'zstd'] as const)('%s data is refused that has', (compression) => {
  const flags = compression === 'zlib' ? ZLIB : ZSTD;

  describe.each(LAUNCHERS)('with $name', ({ inline }) => {
    it.each(BROKEN[compression])('$what', async ({ payloads }) => {
      const packets = payloads.map((content, i) =>
        concat(
          ramHeader({ flags, block: 'ram', normal: [i * PAGE], size: content.length }),
          content,
        ),
      );
      const last = packets.at(-1)!;
      await leavingNothing(async () => {
        const error = await refusal({ compression, inline }, (source) => {
          source.main.put(UP_TO_SYNC);
          source.channels[0]!.put(syncPacket());
          source.channels[1]!.put(...packets);
        });
        expect(error).toMatchObject({
          code: 'ERR_DECOMPRESS',
          channel: 1,
          packet: packets.length - 1,
          offset: INITIAL + concat(...packets).length - last.length + HEADER,
        });
      });
    });
  });
});

describe('zstd data is taken', () => {
  it.each(LAUNCHERS)('in blocks of every kind, however short, with $name', async ({ inline }) => {
    const memory = new Uint8Array(new SharedArrayBuffer(64 * PAGE));
    // The first payload has ten bytes: a frame header and a page of one byte's repetition.
    const payloads = [
      concat(FRAME, repeated(PAGE, 1)),
      repeated(PAGE, 2),
      concat(
        stored(noise.subarray(0, 1000)),
        stored(new Uint8Array(0)),
        repeated(PAGE - 1001, 3),
        stored(Uint8Array.of(4)),
      ),
      // A compressed block of literals alone: 16 times the same byte, by its 5-bit length.
      concat(
        block('compressed', 3, Uint8Array.of((16 << 3) | 1, 0x55, 0)),
        repeated(PAGE - 16, 0x55),
      ),
      stored(noise),
    ];
    await leavingNothing(async () => {
      const { error } = await receiving(
        { compression: 'zstd', inline, channels: 1, blocks: { ram: memory } },
        async (uri) => {
          const source = await Source.connect(uri, 1);
          source.main.put(
            UP_TO_SYNC,
            part(),
            flush(),
            endOfSection(),
            end(),
            endOfSection(),
            endOfFile(),
          );
          source.toAll(
            syncPacket(),
            ...payloads.map((content, i) =>
              concat(
                ramHeader({ flags: ZSTD, block: 'ram', normal: [i * PAGE], size: content.length }),
                content,
              ),
            ),
            syncPacket(),
          );
          return source;
        },
      );
      expect(error).toBeUndefined();
    });
    const third = concat(noise.subarray(0, 1000), pageOf(3, PAGE - 1001), Uint8Array.of(4));
    expect(
      Buffer.compare(
        memory.subarray(0, 5 * PAGE),
        concat(pageOf(1), pageOf(2), third, pageOf(0x55), noise),
      ),
    ).toBe(0);
  });
});
