import {
  BLOCK_ENTRY,
  blockTable,
  decodeId,
  encodeId,
  hashKeyLength,
  pagesPerPacket,
  ramHeaderLength,
} from 'multifd/core';
import { describe, expect, it } from 'vitest';

describe('ids', () => {
  it.each(['a', 'pc.ram', '/rom@etc/acpi/tables', 'Gerät', 'x'.repeat(255), 'ü'.repeat(127)])(
    '%j comes back',
    (id) => {
      const field = encodeId(id);
      expect(field.length).toBe(256);
      expect(decodeId(field)).toBe(id);
    },
  );

  it.each(['', 'x'.repeat(256), 'ü'.repeat(128), 'a\0b', 'a\ud800'])('%j is refused', (id) => {
    expect(() => encodeId(id)).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION',
        message: expect.stringContaining(JSON.stringify(id)),
      }),
    );
  });

  it('are read from shared memory, up to the first NUL', () => {
    const field = new Uint8Array(new SharedArrayBuffer(256));
    field.set([0x61, 0x62, 0, 0x63]);
    expect(decodeId(field)).toBe('ab');
  });

  it('that are not UTF-8 are refused', () => {
    expect(() => decodeId(Uint8Array.of(0x61, 0xff, 0))).toThrow(
      expect.objectContaining({ code: 'ERR_PACKET' }),
    );
  });
});

describe('block table', () => {
  it('has the id and the used length of each block', () => {
    const table = blockTable([
      { id: 'a', usedLength: 0 },
      { id: 'b', usedLength: 2 ** 53 - 1 },
    ]);
    expect(table.length).toBe(2 * BLOCK_ENTRY.length);
    expect([table[0], table[BLOCK_ENTRY.length]]).toEqual([0x61, 0x62]);
    expect(
      new DataView(table.buffer).getBigUint64(BLOCK_ENTRY.length + BLOCK_ENTRY.usedLength, true),
    ).toBe(2n ** 53n - 1n);
  });

  it.each([-1, 0.5, 2 ** 53, Number.NaN])('refuses a length of %d', (usedLength) => {
    expect(() => blockTable([{ id: 'a', usedLength }])).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION' }),
    );
  });
});

describe('lengths', () => {
  it.each([
    [4096, 128, 1344],
    [8192, 64, 832],
    [524288, 1, 328],
  ])('of a page size of %d', (pageSize, pages, header) => {
    expect(pagesPerPacket(pageSize)).toBe(pages);
    expect(ramHeaderLength(pages)).toBe(header);
    expect(hashKeyLength(pageSize)).toBe(pageSize + 32);
  });

  it.each([0, -4096, 32, 4095, 12288, 1048576, 64.5, Number.NaN])(
    'refuse a page size of %d',
    (pageSize) => {
      expect(() => pagesPerPacket(pageSize)).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION' }),
      );
    },
  );
});
