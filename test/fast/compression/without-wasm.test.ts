import { expect, test, vi } from 'vitest';
import { portableZstdDecoder } from '../../../src/compression/codecs/portable-zstd.ts';

test('zstd is decoded where WebAssembly can not be had, and fetch is left as it is', async () => {
  const fetched = vi.fn();
  vi.stubGlobal('fetch', fetched);
  const instantiate = vi
    .spyOn(WebAssembly, 'instantiate')
    .mockRejectedValue(new WebAssembly.CompileError('disallowed by embedder'));
  const decoder = await portableZstdDecoder(true);
  expect(instantiate).toHaveBeenCalled();
  expect(fetched).not.toHaveBeenCalled();
  expect(globalThis.fetch).toBe(fetched);
  const into = new Uint8Array(4096);
  const repeatedByte = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 80, 2, 128, 0, 7);
  await decoder.decode(repeatedByte, into);
  expect(into.every((byte) => byte === 7)).toBe(true);
  decoder.close();
});
