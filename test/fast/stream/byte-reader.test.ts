import { describe, expect, test } from 'vitest';
import { ByteReader } from '../../../src/stream/index.ts';
import { Random, SEED } from '../../support/random.ts';
import { bytes, readerOf } from '../../support/stream.ts';

describe('ByteReader', () => {
  test('fields are big-endian', async () => {
    const reader = readerOf(bytes('01', '0203', '04050607', '001fffffffffffff'));
    await reader.ensure(15);
    expect([reader.peek(), reader.u8(), reader.u16(), reader.u32(), reader.u64()]).toEqual([
      1,
      1,
      0x203,
      0x4050607,
      Number.MAX_SAFE_INTEGER,
    ]);
    expect(reader.position).toBe(15);
  });

  test('a 64-bit field past 2^53 is refused where it begins', async () => {
    const reader = readerOf(bytes('00', '0020000000000000'), 9, { position: 10 });
    await reader.ensure(9);
    reader.u8();
    expect(() => reader.u64()).toThrow(expect.objectContaining({ code: 'ERR_STREAM', offset: 11 }));
  });

  test('ensure gives no promise for what is buffered', async () => {
    const reader = readerOf(bytes('0102030405'));
    await reader.ensure(1);
    expect(reader.buffered).toBe(5);
    expect(reader.ensure(5)).toBeUndefined();
  });

  test('taking what was not ensured is an error of this project', () => {
    expect(() => readerOf(bytes('01')).u8()).toThrow(
      expect.objectContaining({ code: 'ERR_INTERNAL' }),
    );
  });

  test('atEnd keeps what it read', async () => {
    const reader = readerOf(bytes('0102'));
    expect(await reader.atEnd()).toBe(false);
    expect(reader.rest()).toEqual(bytes('0102'));
    expect(await reader.atEnd()).toBe(true);
  });

  test('a source that cannot seek is not asked to', () => {
    const reader = readerOf(bytes('01'));
    expect(reader.seekable).toBe(false);
    expect(() => reader.skipTo(100)).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
  });

  test(`random reads and skips give the bytes of that position, SEED ${SEED}`, async () => {
    const random = new Random(SEED);
    const content = random.bytes(300_000);
    const base = 1000;
    let at = 0;
    const reader = new ByteReader(
      {
        read(into) {
          const count = Math.min(into.length, content.length - at, 1 + random.below(9000));
          into.set(content.subarray(at, at + count));
          at += count;
          return random.chance(0.5) ? count : Promise.resolve(count);
        },
        seek(position) {
          at = position - base;
        },
      },
      { position: base },
    );
    let expected = 0;
    while (expected < content.length - 20_000) {
      const count = random.below(10_000);
      const what = random.fraction();
      if (what < 0.4) {
        await reader.ensure(count);
        expect(reader.bytes(count)).toEqual(content.subarray(expected, expected + count));
      } else if (what < 0.8) {
        const target = new Uint8Array(count);
        await reader.copyInto(target);
        expect(target).toEqual(content.subarray(expected, expected + count));
      } else {
        reader.skipTo(base + expected + count);
      }
      expected += count;
      expect(reader.position).toBe(base + expected);
    }
  });
});
