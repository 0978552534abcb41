import { RAM_INFO, DEVICE_STATE_INFO, NO_BLOCK, blockTable, encodeId } from 'multifd/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { KINDS, bench, fromHex, type Bench } from './support.ts';

/** Where the tests put things. PACKET is unaligned on purpose; the counter has to be aligned. */
const AT = {
  packet: 0x1003,
  uuid: 0x3001,
  id: 0x3100,
  counter: 0x3400,
  offsets: 0x3500,
  blocks: 0x5000,
  out: 0x7001,
  outOffsets: 0x7101,
};
const UUID = '00112233445566778899aabbccddeeff';

const zeros = (count: number): string => '00'.repeat(count);

/** 28 bytes of 0x5a around whatever was written, so that a byte too many shows. */
const CANARY = 28;

describe.each(KINDS)('packets of the %s build, byte for byte', (kind) => {
  let rig: Bench;

  beforeEach(async () => {
    rig = await bench(kind);
    rig.bytes.fill(0x5a);
  });

  function expectPacket(hex: string): void {
    const packet = fromHex(hex);
    const around = rig.bytes.slice(AT.packet - CANARY, AT.packet + packet.length + CANARY);
    const expected = new Uint8Array(packet.length + 2 * CANARY).fill(0x5a);
    expected.set(packet, CANARY);
    expect(Buffer.from(around).toString('hex')).toBe(Buffer.from(expected).toString('hex'));
  }

  it('initial packet', () => {
    const { core, bytes } = rig;
    bytes.set(fromHex(UUID), AT.uuid);
    core.fillInitial(AT.packet, AT.uuid, 0xf3);
    expectPacket(`11223344 00000001 ${UUID} f3 ${zeros(39)}`);
    expect(core.checkInitial(AT.packet, AT.uuid, 0xf4)).toBe(0);
  });

  it('RAM packet with normal and zero pages', () => {
    const { core, bytes, view } = rig;
    bytes.set(encodeId('pc.ram'), AT.id);
    view.setBigUint64(AT.counter, 0x0102030405060708n, true);
    const offsets = [0x20000n, 0x1_2345_0000n, 0x40000n];
    for (const [i, offset] of offsets.entries())
      view.setBigUint64(AT.offsets + 8 * i, offset, true);

    core.fillRam(AT.packet, 0x05, 8, 2, 1, 0x1_1234, AT.counter, AT.id, AT.offsets);
    expectPacket(`
      11223344 00000001 00000005 00000008 00000002 00011234
      0102030405060708
      00000001 ${zeros(28)}
      70632e72616d ${zeros(250)}
      0000000000020000 0000000123450000 0000000000040000 ${zeros(8 * 5)}`);
    expect(view.getBigUint64(AT.counter, true)).toBe(0x0102030405060709n);

    bytes.set(
      blockTable([
        { id: 'pc.rom', usedLength: 0x1000 },
        { id: 'pc.ram', usedLength: 0x2_0000_0000 },
      ]),
      AT.blocks,
    );
    expect(core.checkRam(AT.packet, 8, 0x10000, 2, AT.blocks, 2, AT.out, AT.outOffsets)).toBe(0);
    expect(Buffer.from(bytes.slice(AT.out - 4, AT.out + RAM_INFO.length + 4)).toString('hex')).toBe(
      // badPage (the sixth word) is not written when no page was refused
      '5a5a5a5a' +
        '01000000' +
        '05000000' +
        '02000000' +
        '01000000' +
        '34120100' +
        '5a5a5a5a' +
        '0807060504030201' +
        '5a5a5a5a',
    );
    expect(Buffer.from(bytes.slice(AT.outOffsets - 8, AT.outOffsets + 32)).toString('hex')).toBe(
      '5a'.repeat(8) +
        '0000020000000000' +
        '0000452301000000' +
        '0000040000000000' +
        '5a'.repeat(8),
    );
  });

  it('SYNC packet: no pages, empty id', () => {
    const { core, view } = rig;
    view.setBigUint64(AT.counter, 7n, true);
    core.fillRam(AT.packet, 1, 128, 0, 0, 0, AT.counter, 0, AT.offsets);
    expectPacket(
      `11223344 00000001 00000001 00000080 ${zeros(8)} 0000000000000007 ${zeros(1344 - 32)}`,
    );
    expect(core.checkRam(AT.packet, 128, 4096, 2, AT.blocks, 0, AT.out, AT.outOffsets)).toBe(0);
    expect(view.getUint32(AT.out + RAM_INFO.block, true)).toBe(NO_BLOCK);
    expect(view.getUint32(AT.out + RAM_INFO.payload, true)).toBe(0);
  });

  it('device-state packet', () => {
    const { core, bytes, view } = rig;
    bytes.set(encodeId('0000:00:02.0/vfio'), AT.id);
    core.fillDeviceState(AT.packet, AT.id, 0x01020304, 0xa0b0c0d0);
    expectPacket(`
      11223344 00000001 00000040
      303030303a30303a30322e302f7666696f ${zeros(239)}
      01020304 a0b0c0d0`);
    expect(core.checkDeviceState(AT.packet, 0xa0b0c0d0, AT.out)).toBe(0);
    expect(view.getUint32(AT.out + DEVICE_STATE_INFO.instanceId, true)).toBe(0x01020304);
    expect(view.getUint32(AT.out + DEVICE_STATE_INFO.payload, true)).toBe(0xa0b0c0d0);
  });
});
