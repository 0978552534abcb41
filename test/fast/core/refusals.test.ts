import {
  COMPRESSION,
  DEVICE_STATE,
  DEVICE_STATE_LENGTH,
  FLAG_DEVICE_STATE,
  FLAG_SYNC,
  INITIAL,
  INITIAL_LENGTH,
  NO_BLOCK,
  RAM,
  RAM_INFO,
  blockTable,
  encodeId,
  packetError,
  ramHeaderLength,
  type ErrorCode,
  type MultifdError,
} from 'multifd/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { KINDS, bench, type Bench } from './support.ts';

const AT = {
  packet: 0x1000,
  uuid: 0x3000,
  id: 0x3100,
  counter: 0x3400,
  offsets: 0x3500,
  blocks: 0x5000,
  out: 0x7000,
  outOffsets: 0x7100,
};
const PAGE = 4096;
const PAGES_ALLOC = 4;
/** 8 pages, and the part of a page that no page offset can reach. */
const USED_LENGTH = 8 * PAGE + 100;
const UUID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const HEADER = ramHeaderLength(PAGES_ALLOC);
const NORMAL = 2;

describe.each(KINDS)('the %s build', (kind) => {
  let rig: Bench;
  let packet: DataView;

  beforeEach(async () => {
    rig = await bench(kind);
    packet = new DataView(rig.memory.buffer, AT.packet, HEADER);
    rig.bytes.set(UUID, AT.uuid);
    rig.bytes.set(
      blockTable([
        { id: 'tiny', usedLength: PAGE - 1 },
        { id: 'ram', usedLength: USED_LENGTH },
        { id: 'x'.repeat(255), usedLength: USED_LENGTH },
      ]),
      AT.blocks,
    );
  });

  function fillRam({
    flags = 0,
    normal = NORMAL,
    zero = 1,
    payload = NORMAL * PAGE,
    id = 'ram',
  } = {}): void {
    rig.bytes.set(encodeId(id), AT.id);
    for (let i = 0; i < PAGES_ALLOC; i++)
      rig.view.setBigUint64(AT.offsets + 8 * i, BigInt(i * 2 * PAGE), true);
    rig.core.fillRam(
      AT.packet,
      flags,
      PAGES_ALLOC,
      normal,
      zero,
      payload,
      AT.counter,
      normal + zero > 0 ? AT.id : 0,
      AT.offsets,
    );
  }

  function checkRam(compression: number = COMPRESSION.none): MultifdError | undefined {
    const { core, view } = rig;
    const refusal = core.checkRam(
      AT.packet,
      PAGES_ALLOC,
      PAGE,
      compression,
      AT.blocks,
      3,
      AT.out,
      AT.outOffsets,
    );
    const page = view.getUint32(AT.out + RAM_INFO.badPage, true);
    return refusal === 0
      ? undefined
      : packetError(refusal, packet, { channel: 2, packet: 7 }, page);
  }

  function info(field: keyof typeof RAM_INFO): number {
    return rig.view.getUint32(AT.out + RAM_INFO[field], true);
  }

  function expectRefused(
    error: MultifdError | undefined,
    code: ErrorCode,
    field: string,
    value: string,
  ): void {
    expect(error).toMatchObject({ name: 'MultifdError', code, field, channel: 2, packet: 7 });
    expect(error?.message).toContain(`${field} ${value} `);
    expect(error?.message).toContain(`channel 2, packet 7, field ${field}`);
  }

  describe('refuses an initial packet with', () => {
    it.each<[string, ErrorCode, number, number, string, string]>([
      ['another magic', 'ERR_MAGIC', INITIAL.magic, 0x51, 'magic', '0x51223344'],
      ['another version', 'ERR_VERSION', INITIAL.version + 3, 2, 'version', '2'],
      [
        'another uuid',
        'ERR_UUID',
        INITIAL.uuid + 15,
        0xff,
        'uuid',
        '01020304-0506-0708-090a-0b0c0d0e0fff',
      ],
      ['the id one past the last', 'ERR_CHANNEL_ID', INITIAL.id, 4, 'id', '4'],
      ['the highest id', 'ERR_CHANNEL_ID', INITIAL.id, 255, 'id', '255'],
    ])('%s', (_, code, at, byte, field, value) => {
      rig.core.fillInitial(AT.packet, AT.uuid, 3);
      expect(rig.core.checkInitial(AT.packet, AT.uuid, 4)).toBe(0);
      packet.setUint8(at, byte);
      const refusal = rig.core.checkInitial(AT.packet, AT.uuid, 4);
      expectRefused(packetError(refusal, packet, { channel: 2, packet: 7 }), code, field, value);
    });

    it('any bit of magic, version and uuid turned over', () => {
      rig.core.fillInitial(AT.packet, AT.uuid, 3);
      for (let at = 0; at < INITIAL_LENGTH; at++) {
        for (let bit = 0; bit < 8; bit++) {
          packet.setUint8(at, packet.getUint8(at) ^ (1 << bit));
          const refusal = rig.core.checkInitial(AT.packet, AT.uuid, 4);
          const field = refusal === 0 ? undefined : packetError(refusal, packet).field;
          const wanted =
            at < 4
              ? 'magic'
              : at < 8
                ? 'version'
                : at < 24
                  ? 'uuid'
                  : at === 24 && bit > 1
                    ? 'id'
                    : undefined;
          expect(field, `byte ${at}, bit ${bit}`).toBe(wanted);
          packet.setUint8(at, packet.getUint8(at) ^ (1 << bit));
        }
      }
    });
  });

  describe('refuses a RAM packet with', () => {
    const offsetAt = (page: number): number => RAM.offset + 8 * page;
    const set32 = (at: number, value: number) => (header: DataView) => header.setUint32(at, value);
    const setOffset = (page: number, value: bigint) => (header: DataView) =>
      header.setBigUint64(offsetAt(page), value);

    it.each<[string, ErrorCode, (header: DataView) => void, string, string]>([
      ['another magic', 'ERR_MAGIC', set32(RAM.magic, 0x11223345), 'magic', '0x11223345'],
      ['version 0', 'ERR_VERSION', set32(RAM.version, 0), 'version', '0'],
      [
        'the version in little-endian',
        'ERR_VERSION',
        set32(RAM.version, 0x01000000),
        'version',
        '16777216',
      ],
      ['the lowest unknown flag', 'ERR_PACKET', set32(RAM.flags, 0x80), 'flags', '0x00000080'],
      [
        'the highest unknown flag',
        'ERR_PACKET',
        set32(RAM.flags, 0x80000000),
        'flags',
        '0x80000000',
      ],
      ['the DEVICE_STATE flag', 'ERR_PACKET', set32(RAM.flags, 0x40), 'flags', '0x00000040'],
      ['fewer pages_alloc', 'ERR_PACKET', set32(RAM.pagesAlloc, 3), 'pages_alloc', '3'],
      ['more pages_alloc', 'ERR_PACKET', set32(RAM.pagesAlloc, 5), 'pages_alloc', '5'],
      ['pages and no pages_alloc', 'ERR_PACKET', set32(RAM.pagesAlloc, 0), 'pages_alloc', '0'],
      ['too many normal_pages', 'ERR_PACKET', set32(RAM.normalPages, 5), 'normal_pages', '5'],
      [
        'a negative normal_pages',
        'ERR_PACKET',
        set32(RAM.normalPages, -1),
        'normal_pages',
        '4294967295',
      ],
      ['too many zero_pages', 'ERR_PACKET', set32(RAM.zeroPages, 3), 'zero_pages', '3'],
      [
        'page counts whose sum wraps around',
        'ERR_PACKET',
        set32(RAM.zeroPages, -2),
        'zero_pages',
        '4294967294',
      ],
      [
        'another compression',
        'ERR_COMPRESSION',
        set32(RAM.flags, 2),
        'flags',
        '0x00000002, compression zlib,',
      ],
      ['an empty block id', 'ERR_BLOCK', set32(RAM.ramblock, 0), 'ramblock', '""'],
      ['an unknown block id', 'ERR_BLOCK', set32(RAM.ramblock, 0x72616d32), 'ramblock', '"ram2"'],
      [
        'the beginning of a block id',
        'ERR_BLOCK',
        set32(RAM.ramblock, 0x72610000),
        'ramblock',
        '"ra"',
      ],
      [
        'a block id that would act on a terminal',
        'ERR_BLOCK',
        set32(RAM.ramblock, 0x1bc29b00),
        'ramblock',
        '"\\u001b\\u{9b}"',
      ],
      ['an unaligned page', 'ERR_PAGE_OFFSET', setOffset(1, 0x2001n), 'offset', '0x2001 of page 1'],
      [
        'an unaligned zero page',
        'ERR_PAGE_OFFSET',
        setOffset(2, 0x4800n),
        'offset',
        '0x4800 of page 2',
      ],
      [
        'a page that ends past the block',
        'ERR_PAGE_OFFSET',
        setOffset(0, 0x8000n),
        'offset',
        '0x8000 of page 0',
      ],
      [
        'a page whose end wraps around',
        'ERR_PAGE_OFFSET',
        setOffset(2, 0xfffffffffffff000n),
        'offset',
        '0xfffffffffffff000 of page 2',
      ],
      [
        'less payload than pages',
        'ERR_PAYLOAD',
        set32(RAM.nextPacketSize, 8191),
        'next_packet_size',
        '8191 bytes for 2 pages',
      ],
      [
        'more payload than pages',
        'ERR_PAYLOAD',
        set32(RAM.nextPacketSize, 8193),
        'next_packet_size',
        '8193 bytes for 2 pages',
      ],
      [
        'fewer pages than payload',
        'ERR_PAYLOAD',
        set32(RAM.normalPages, 1),
        'next_packet_size',
        '8192 bytes for 1 pages',
      ],
    ])('%s', (_, code, corrupt, field, value) => {
      fillRam();
      expect(checkRam()).toBeUndefined();
      corrupt(packet);
      expectRefused(checkRam(), code, field, value);
    });

    it('another pages_alloc, even without pages', () => {
      fillRam({ flags: FLAG_SYNC, normal: 0, zero: 0, payload: 0 });
      packet.setUint32(RAM.pagesAlloc, 3);
      expectRefused(checkRam(), 'ERR_PACKET', 'pages_alloc', '3');
    });

    it('a block id that has no NUL', () => {
      fillRam({ id: 'x'.repeat(255) });
      expect(checkRam()).toBeUndefined();
      packet.setUint8(RAM.ramblock + 255, 0x78);
      expectRefused(checkRam(), 'ERR_BLOCK', 'ramblock', `"${'x'.repeat(256)}" has no NUL`);
    });

    it('an empty block id, even where an entry of the table is empty', () => {
      fillRam();
      packet.setUint32(RAM.ramblock, 0);
      rig.bytes.fill(0, AT.blocks, AT.blocks + 256);
      expectRefused(checkRam(), 'ERR_BLOCK', 'ramblock', '""');
    });

    it('a page of a block that is shorter than a page', () => {
      fillRam({ id: 'tiny', normal: 1, zero: 0, payload: PAGE });
      expectRefused(checkRam(), 'ERR_PAGE_OFFSET', 'offset', '0x0 of page 0');
    });

    it('compressed pages and no payload', () => {
      fillRam({ flags: COMPRESSION.zlib << 1, payload: 0 });
      expectRefused(
        checkRam(COMPRESSION.zlib),
        'ERR_PAYLOAD',
        'next_packet_size',
        '0 bytes for 2 pages',
      );
    });

    it('more compressed bytes than the pages can make, and takes the most they can', () => {
      const most = NORMAL * PAGE + (NORMAL * PAGE) / 8 + 1024;
      fillRam({ flags: COMPRESSION.zstd << 1, payload: most });
      expect(checkRam(COMPRESSION.zstd)).toBeUndefined();
      expect(info('payload')).toBe(most);
      fillRam({ flags: COMPRESSION.zstd << 1, payload: most + 1 });
      expectRefused(
        checkRam(COMPRESSION.zstd),
        'ERR_PAYLOAD',
        'next_packet_size',
        `${most + 1} bytes for 2 pages`,
      );
    });

    it('any bit of a field turned over, unless it makes another packet that is right', () => {
      fillRam();
      for (let at = 0; at < HEADER; at++) {
        for (let bit = 0; bit < 8; bit++) {
          packet.setUint8(at, packet.getUint8(at) ^ (1 << bit));
          expect(fieldsFor(at, bit), `byte ${at}, bit ${bit}`).toContain(checkRam()?.field);
          packet.setUint8(at, packet.getUint8(at) ^ (1 << bit));
        }
      }
    });

    /** The fields that may be blamed for a wrong bit; undefined where the packet stays right. */
    function fieldsFor(at: number, bit: number): (string | undefined)[] {
      if (at < RAM.version) return ['magic'];
      if (at < RAM.flags) return ['version'];
      if (at < RAM.pagesAlloc) return at === RAM.flags + 3 && bit === 0 ? [undefined] : ['flags'];
      if (at < RAM.normalPages) return ['pages_alloc'];
      // Without normal pages the payload's size says nothing, so 0 instead of 2 of them is right as
      // well.
      if (at === RAM.normalPages + 3 && bit < 2)
        return bit === 0 ? ['next_packet_size'] : [undefined];
      if (at < RAM.nextPacketSize) return ['normal_pages'];
      if (at < RAM.packetNum) return ['next_packet_size'];
      if (at < RAM.zeroPages) return [undefined];
      if (at < RAM.zeroPages + 4)
        return at === RAM.zeroPages + 3 && bit === 0 ? [undefined] : ['zero_pages'];
      if (at < RAM.ramblock) return [undefined];
      if (at < RAM.ramblock + 'ram\0'.length) return ['ramblock'];
      if (at < RAM.offset || at >= RAM.offset + 8 * 3) return [undefined];
      // A page's number has its three lowest bits in bits 12 to 14; the block has 8 pages.
      const power = 8 * (7 - ((at - RAM.offset) % 8)) + bit;
      return power >= 12 && power < 15 ? [undefined] : ['offset'];
    }
  });

  describe('takes a RAM packet', () => {
    it('with SYNC, no pages and a stale payload size, as QEMU before 9.0 sends it', () => {
      fillRam({ flags: FLAG_SYNC, normal: 0, zero: 0, payload: 524288 });
      expect(checkRam(COMPRESSION.zlib)).toBeUndefined();
      expect([info('block'), info('flags'), info('payload')]).toEqual([NO_BLOCK, FLAG_SYNC, 0]);
    });

    it('with SYNC and nothing but its number, as QEMU 10 sends it', () => {
      fillRam({ flags: FLAG_SYNC, normal: 0, zero: 0, payload: 0 });
      packet.setUint32(RAM.pagesAlloc, 0);
      expect(checkRam(COMPRESSION.zstd)).toBeUndefined();
      expect([info('block'), info('flags'), info('normal'), info('zero'), info('payload')]).toEqual(
        [NO_BLOCK, FLAG_SYNC, 0, 0, 0],
      );
    });

    it('with SYNC and pages', () => {
      fillRam({ flags: FLAG_SYNC });
      expect(checkRam()).toBeUndefined();
      expect([info('block'), info('normal'), info('zero'), info('payload')]).toEqual([
        1, 2, 1, 8192,
      ]);
    });

    it('with zero pages only: its compression flag, and no payload', () => {
      fillRam({ flags: COMPRESSION.zlib << 1, normal: 0, zero: 4, payload: 99 });
      expect(checkRam(COMPRESSION.zlib)).toBeUndefined();
      expect([info('normal'), info('zero'), info('payload')]).toEqual([0, 4, 0]);
    });

    it('whose last page is the last of the block', () => {
      fillRam();
      packet.setBigUint64(RAM.offset, BigInt(7 * PAGE));
      expect(checkRam()).toBeUndefined();
    });
  });

  describe('refuses a device-state packet with', () => {
    const LIMIT = 1000;

    function check(): MultifdError | undefined {
      const refusal = rig.core.checkDeviceState(AT.packet, LIMIT, AT.out);
      return refusal === 0 ? undefined : packetError(refusal, packet, { channel: 2, packet: 7 });
    }

    it.each<[string, ErrorCode, number, number, string, string]>([
      ['another magic', 'ERR_MAGIC', DEVICE_STATE.magic, 0, 'magic', '0x00000000'],
      ['another version', 'ERR_VERSION', DEVICE_STATE.version, 2, 'version', '2'],
      ['no DEVICE_STATE flag', 'ERR_PACKET', DEVICE_STATE.flags, 0, 'flags', '0x00000000'],
      [
        'SYNC',
        'ERR_PACKET',
        DEVICE_STATE.flags,
        FLAG_DEVICE_STATE | FLAG_SYNC,
        'flags',
        '0x00000041',
      ],
      [
        'a compression',
        'ERR_PACKET',
        DEVICE_STATE.flags,
        FLAG_DEVICE_STATE | 2,
        'flags',
        '0x00000042',
      ],
      ['an empty idstr', 'ERR_PACKET', DEVICE_STATE.idstr, 0, 'idstr', '""'],
      ['no payload', 'ERR_PAYLOAD', DEVICE_STATE.nextPacketSize, 0, 'next_packet_size', '0'],
      [
        'a payload above the limit',
        'ERR_PAYLOAD',
        DEVICE_STATE.nextPacketSize,
        LIMIT + 1,
        'next_packet_size',
        '1001',
      ],
      [
        'a huge payload',
        'ERR_PAYLOAD',
        DEVICE_STATE.nextPacketSize,
        -1,
        'next_packet_size',
        '4294967295',
      ],
    ])('%s', (_, code, at, word, field, value) => {
      rig.bytes.set(encodeId('vfio'), AT.id);
      rig.core.fillDeviceState(AT.packet, AT.id, 0xffffffff, LIMIT);
      expect(check()).toBeUndefined();
      packet.setUint32(at, word);
      expectRefused(check(), code, field, value);
    });

    it('an idstr that has no NUL', () => {
      rig.bytes.fill(0x79, AT.id, AT.id + 256);
      rig.core.fillDeviceState(AT.packet, AT.id, 1, LIMIT);
      expectRefused(check(), 'ERR_PACKET', 'idstr', `"${'y'.repeat(256)}"`);
      rig.bytes[AT.packet + DEVICE_STATE.idstr + 255] = 0;
      expect(check()).toBeUndefined();
    });

    it('no error that a core never gives', () => {
      const view = new DataView(new ArrayBuffer(DEVICE_STATE_LENGTH));
      expect(packetError(99, view)).toMatchObject({ code: 'ERR_INTERNAL' });
    });
  });
});
