const SUFFIXES = ['', 'K', 'M', 'G', 'T'];

/**
 * A number of bytes as people write it: decimal, with QEMU's suffixes for powers of 1024 (`64K`,
 * also `64KiB`), or hexadecimal (`0x10000`).
 *
 * @returns undefined for what is none, or above 2^53 - 1.
 */
export function parseBytes(text: string): number | undefined {
  const parts = /^(?:(0x[0-9a-f]+)|(\d+)(?:([KMGT])(?:iB)?)?)$/i.exec(text);
  if (parts === null) return undefined;
  const [, hex, decimal, suffix = ''] = parts;
  const bytes = Number(hex ?? decimal) * 1024 ** SUFFIXES.indexOf(suffix.toUpperCase());
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
