import { expect, test, vi } from 'vitest';
import { portableZstdDecoder } from '../../../src/compression/codecs/portable-zstd.ts';

test('zstd is decoded where WebAssembly can not be fetched from a data: URL', async () => {
  const fetched = vi.fn(async () => Promise.reject(new TypeError('Failed to fetch')));
  vi.stubGlobal('fetch', fetched);
  const decoder = await portableZstdDecoder(true);
  expect(fetched).toHaveBeenCalled();
  const into = new Uint8Array(4096);
  const repeatedByte = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 80, 2, 128, 0, 7);
  await decoder.decode(repeatedByte, into);
  expect(into.every((byte) => byte === 7)).toBe(true);
  decoder.close();
});
