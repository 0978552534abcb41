import { constants, deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  be32,
  be64,
  concat,
  devicePacket,
  endOfSection,
  flush,
  header,
  patched,
  ramHeader,
  ramPacket,
  start,
  SYNC,
  syncPacket,
  text,
  ZLIB,
  ZSTD,
} from '../../support/wire.ts';
import {
  type Incoming,
  LAUNCHERS,
  leavingNothing,
  PAGE,
  pageOf,
  refusal,
} from '../../support/migration.ts';

const INITIAL = 64;
const BLOCKS = [
  { id: 'ram', length: 64 * PAGE },
  { id: 'rom', length: 2 * PAGE },
];
const UP_TO_SYNC = concat(header(), start(BLOCKS), flush(), endOfSection());
/** A packet that is right; the one to be refused comes behind it. */
const RIGHT = ramPacket({ block: 'ram', normal: [0] }, pageOf(1));
const RIGHT_ZLIB = ((content) =>
  concat(ramHeader({ flags: ZLIB, block: 'ram', normal: [0], size: content.length }), content))(
  deflateSync(pageOf(1), { finishFlush: constants.Z_SYNC_FLUSH }),
);
const RAM = ramHeader({ block: 'ram', normal: [PAGE], size: PAGE });
const DEVICE = devicePacket('device', 0, pageOf(1, 100));

const many = (count: number): number[] => Array.from({ length: count }, (_, i) => (i % 64) * PAGE);

interface Case {
  what: string;
  packet: Uint8Array;
  code: string;
  field: string;
  options?: Incoming;
}

const CASES: Case[] = [
  {
    what: 'another magic',
    packet: patched(RAM, 0, be32(0x11223345)),
    code: 'ERR_MAGIC',
    field: 'magic',
  },
  {
    what: "the main channel's magic",
    packet: patched(RAM, 0, text('QEVM')),
    code: 'ERR_MAGIC',
    field: 'magic',
  },
  {
    what: 'another version',
    packet: patched(RAM, 4, be32(2)),
    code: 'ERR_VERSION',
    field: 'version',
  },
  {
    what: 'an unknown flag',
    packet: patched(RAM, 8, be32(1 << 7)),
    code: 'ERR_PACKET',
    field: 'flags',
  },
  {
    what: 'the highest flag',
    packet: patched(RAM, 8, be32(0x8000_0000)),
    code: 'ERR_PACKET',
    field: 'flags',
  },
  {
    what: 'zlib, which was not agreed',
    packet: ramHeader({ flags: ZLIB, block: 'ram', normal: [PAGE], size: 20 }),
    code: 'ERR_COMPRESSION',
    field: 'flags',
  },
  {
    what: 'zstd, when zlib was agreed',
    packet: ramHeader({ flags: ZSTD, block: 'ram', normal: [PAGE], size: 20 }),
    code: 'ERR_COMPRESSION',
    field: 'flags',
    options: { compression: 'zlib' },
  },
  {
    what: 'no compression, when zlib was agreed',
    packet: RAM,
    code: 'ERR_COMPRESSION',
    field: 'flags',
    options: { compression: 'zlib' },
  },
  {
    what: 'pages_alloc of another page size',
    packet: patched(RAM, 12, be32(8)),
    code: 'ERR_PACKET',
    field: 'pages_alloc',
  },
  {
    what: 'a normal page more than a packet holds',
    packet: patched(ramHeader({ block: 'ram', normal: many(128) }), 16, be32(129)),
    code: 'ERR_PACKET',
    field: 'normal_pages',
  },
  {
    what: 'as many normal pages as a word can count',
    packet: patched(RAM, 16, be32(0xffff_ffff)),
    code: 'ERR_PACKET',
    field: 'normal_pages',
  },
  {
    what: 'a zero page more than a packet holds',
    packet: patched(ramHeader({ block: 'ram', zero: many(128) }), 32, be32(129)),
    code: 'ERR_PACKET',
    field: 'zero_pages',
  },
  {
    what: 'normal and zero pages that are too many together',
    packet: patched(ramHeader({ block: 'ram', normal: many(100), zero: many(28) }), 32, be32(29)),
    code: 'ERR_PACKET',
    field: 'zero_pages',
  },
  {
    what: 'a sum of pages that wraps around',
    packet: patched(ramHeader({ block: 'ram', normal: many(2) }), 32, be32(0xffff_ffff)),
    code: 'ERR_PACKET',
    field: 'zero_pages',
  },
  {
    what: 'an unknown block',
    packet: ramHeader({ block: 'ran', normal: [0], size: PAGE }),
    code: 'ERR_BLOCK',
    field: 'ramblock',
  },
  {
    what: 'a longer block name',
    packet: ramHeader({ block: 'rams', normal: [0], size: PAGE }),
    code: 'ERR_BLOCK',
    field: 'ramblock',
  },
  {
    what: 'no block name',
    packet: ramHeader({ normal: [0], size: PAGE }),
    code: 'ERR_BLOCK',
    field: 'ramblock',
  },
  {
    what: 'a block name without an end',
    packet: patched(RAM, 64, new Uint8Array(256).fill(0x61)),
    code: 'ERR_BLOCK',
    field: 'ramblock',
  },
  {
    what: 'a page that is not on a page boundary',
    packet: ramHeader({ block: 'ram', normal: [PAGE + 512], size: PAGE }),
    code: 'ERR_PAGE_OFFSET',
    field: 'offset',
  },
  {
    what: 'a page right behind its block',
    packet: ramHeader({ block: 'ram', normal: [64 * PAGE], size: PAGE }),
    code: 'ERR_PAGE_OFFSET',
    field: 'offset',
  },
  {
    what: 'a page of a shorter block',
    packet: ramHeader({ block: 'rom', normal: [0, PAGE, 2 * PAGE], size: 3 * PAGE }),
    code: 'ERR_PAGE_OFFSET',
    field: 'offset',
  },
  {
    what: 'a zero page behind its block',
    packet: ramHeader({ block: 'ram', zero: [0, 2 ** 32] }),
    code: 'ERR_PAGE_OFFSET',
    field: 'offset',
  },
  {
    what: 'a page whose end wraps around',
    packet: ramHeader({ block: 'ram', normal: [-PAGE], size: PAGE }),
    code: 'ERR_PAGE_OFFSET',
    field: 'offset',
  },
  {
    what: 'a page at 2^63',
    packet: ramHeader({ block: 'ram', zero: [1n << 63n] }),
    code: 'ERR_PAGE_OFFSET',
    field: 'offset',
  },
  {
    what: 'a raw payload that is too short',
    packet: patched(RAM, 20, be32(PAGE - 1)),
    code: 'ERR_PAYLOAD',
    field: 'next_packet_size',
  },
  {
    what: 'a raw payload that is too long',
    packet: patched(RAM, 20, be32(PAGE + 1)),
    code: 'ERR_PAYLOAD',
    field: 'next_packet_size',
  },
  {
    what: 'a raw payload of 4 GiB',
    packet: patched(RAM, 20, be32(0xffff_ffff)),
    code: 'ERR_PAYLOAD',
    field: 'next_packet_size',
  },
  {
    what: 'an empty compressed payload',
    packet: ramHeader({ flags: ZLIB, block: 'ram', normal: [0] }),
    code: 'ERR_PAYLOAD',
    field: 'next_packet_size',
    options: { compression: 'zlib' },
  },
  {
    what: 'a compressed payload that no page makes',
    packet: ramHeader({ flags: ZLIB, block: 'ram', normal: [0], size: 2 * PAGE }),
    code: 'ERR_PAYLOAD',
    field: 'next_packet_size',
    options: { compression: 'zlib' },
  },
  {
    what: 'device state that ends a round',
    packet: patched(DEVICE, 8, be32(0x41)),
    code: 'ERR_PACKET',
    field: 'flags',
  },
  {
    what: 'device state that is compressed',
    packet: patched(DEVICE, 8, be32(0x42)),
    code: 'ERR_PACKET',
    field: 'flags',
  },
  {
    what: 'device state without a name',
    packet: patched(DEVICE, 12, new Uint8Array(256)),
    code: 'ERR_PACKET',
    field: 'idstr',
  },
  {
    what: 'device state with a name without an end',
    packet: patched(DEVICE, 12, new Uint8Array(256).fill(0x61)),
    code: 'ERR_PACKET',
    field: 'idstr',
  },
  {
    what: 'device state of no bytes',
    packet: patched(DEVICE, 272, be32(0)),
    code: 'ERR_PAYLOAD',
    field: 'next_packet_size',
  },
  {
    what: 'device state above the limit',
    packet: patched(DEVICE, 272, be32(101)),
    code: 'ERR_PAYLOAD',
    field: 'next_packet_size',
    options: { deviceStateLimit: 100 },
  },
  {
    what: 'device state of 4 GiB',
    packet: patched(DEVICE, 272, be32(0xffff_ffff)),
    code: 'ERR_PAYLOAD',
    field: 'next_packet_size',
  },
];

describe.each(LAUNCHERS)('with $name, a packet is refused that has', ({ inline }) => {
  it.each(CASES)('$what', async ({ packet, code, field, options = {} }) => {
    await leavingNothing(async () => {
      const before = options.compression === 'zlib' ? RIGHT_ZLIB : RIGHT;
      const error = await refusal({ inline, ...options }, (source) => {
        source.main.put(UP_TO_SYNC);
        source.channels[0]!.put(syncPacket());
        source.channels[1]!.put(before, packet, new Uint8Array(1344));
      });
      expect(error).toMatchObject({
        code,
        field,
        channel: 1,
        packet: 1,
        offset: INITIAL + before.length,
      });
    });
  });
});

describe('a packet', () => {
  it('is refused where it is: the first channel that is wrong, and nothing after it', async () => {
    await leavingNothing(async () => {
      const error = await refusal({ channels: 4 }, (source) => {
        source.main.put(UP_TO_SYNC);
        source.channels[2]!.put(
          RIGHT,
          RIGHT,
          ramHeader({ flags: SYNC, block: 'ram', zero: [0] }),
          patched(RAM, 4, be32(9)),
        );
        for (const id of [0, 1, 3]) source.channels[id]!.put(syncPacket());
      });
      expect(error).toMatchObject({
        code: 'ERR_VERSION',
        channel: 2,
        packet: 3,
        offset: INITIAL + 2 * RIGHT.length + 1344,
      });
    });
  });

  it('has no effect when it is refused for its last offset', async () => {
    const memory = new Uint8Array(64 * PAGE).fill(7);
    await leavingNothing(async () => {
      await refusal({ blocks: { ram: memory, rom: new Uint8Array(2 * PAGE) } }, (source) => {
        source.main.put(UP_TO_SYNC);
        source.channels[1]!.put(
          ramPacket({ block: 'ram', normal: [0, 64 * PAGE] }, concat(pageOf(1), pageOf(2))),
        );
      });
    });
    expect(memory).toEqual(pageOf(7, 64 * PAGE));
  });

  it('may have a reserved field with anything in it, and offsets behind its last page', async () => {
    const memory = new Uint8Array(64 * PAGE);
    const odd = patched(
      patched(
        ramHeader({ block: 'ram', normal: [PAGE], size: PAGE }),
        36,
        new Uint8Array(28).fill(0xff),
      ),
      328,
      be64(-1),
    );
    await leavingNothing(async () => {
      const error = await refusal(
        { blocks: { ram: memory, rom: new Uint8Array(2 * PAGE) } },
        (source) => {
          source.main.put(UP_TO_SYNC);
          source.toAll(odd, pageOf(5), syncPacket());
          // The channel went on behind the odd packet: that is where it is refused now.
          source.channels[1]!.put(patched(RAM, 4, be32(9)), new Uint8Array(1344));
        },
      );
      expect(error).toMatchObject({ code: 'ERR_VERSION', channel: 1, packet: 2 });
    });
    expect(memory.subarray(PAGE, 2 * PAGE)).toEqual(pageOf(5));
  });

  it('of device state is kept up to 256 MiB of them', async () => {
    const data = new Uint8Array(16 * 1024 * 1024);
    await leavingNothing(async () => {
      const error = await refusal({}, async (source) => {
        source.main.put(UP_TO_SYNC);
        for (let i = 0; i < 16; i++)
          await Promise.race([
            source.channels[1]!.putAll(devicePacket('state', i, data)),
            source.channels[1]!.closed,
          ]);
      });
      expect(error).toMatchObject({ code: 'ERR_PAYLOAD', channel: 1 });
      expect(error.message).toContain('DEVICE_STATE');
    });
  });
});
