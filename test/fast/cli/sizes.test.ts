import { expect, test } from 'vitest';
import { parseBytes } from '../../../src/util/sizes.ts';

test.each([
  ['0', 0],
  ['4096', 4096],
  ['0x1000', 4096],
  ['0XfF', 255],
  ['64K', 65536],
  ['64k', 65536],
  ['64KiB', 65536],
  ['3M', 3 * 2 ** 20],
  ['2G', 2 ** 31],
  ['1T', 2 ** 40],
  ['9007199254740991', Number.MAX_SAFE_INTEGER],
])('%s is %d bytes', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});

test.each([
  '',
  'K',
  '-1',
  '+1',
  '1.5M',
  '64Q',
  '0x',
  '0xg',
  '0x10K',
  '1 K',
  '9007199254740992',
  '9000T',
])('%j is no number of bytes', (text) => {
  expect(parseBytes(text)).toBeUndefined();
});
