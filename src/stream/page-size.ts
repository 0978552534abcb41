import type { ByteReader } from './byte-reader.ts';
import { RAM_WORD_ALIGNMENT, RamFlag, Section } from './constants.ts';

/** Target pages of QEMU's machines, in bytes. */
const CANDIDATES = [1024, 2048, 4096, 8192, 16384, 32768];
/** Of a word, and of the name or byte that follows it. */
const WORD = 8;

/**
 * The bytes per page, by what follows the first page with content: that one's bytes are next, and
 * behind them is the word of another page, or the end of the section. It is the only size for which
 * that is so.
 *
 * @param offset of the page in its block.
 * @param names of all blocks.
 * @returns undefined if no size fits, or more than one.
 */
export async function pageSizeAhead(
  reader: ByteReader,
  offset: number,
  names: readonly string[],
  sectionId: number,
): Promise<number | undefined> {
  const encoded = names.map((name) => new TextEncoder().encode(name));
  for (const size of CANDIDATES) {
    await reader.ensure(size + WORD);
    if (!(await canFollow(reader, size, offset, encoded, sectionId))) continue;
    // Content can look like that by chance, or because it is a stream itself.
    const seen = reader.ahead();
    const larger = CANDIDATES.filter((one) => one > size && one + WORD <= seen.length);
    const fits = await Promise.all(
      larger.map((one) => canFollow(reader, one, offset, encoded, sectionId, false)),
    );
    return fits.includes(true) && !isOwnPage(seen, size, offset) ? undefined : size;
  }
  return undefined;
}

/** Whether the word behind a page of that size is that of the page behind it. */
function isOwnPage(seen: Uint8Array, size: number, offset: number): boolean {
  const { flags, value } = wordAt(seen, size);
  return (flags & RamFlag.CONTINUE) !== 0 && value === offset + size;
}

async function canFollow(
  reader: ByteReader,
  at: number,
  offset: number,
  names: readonly Uint8Array[],
  sectionId: number,
  wait = true,
): Promise<boolean> {
  const { flags, value } = wordAt(reader.ahead(), at);
  const isPage = (flags & ~RamFlag.CONTINUE) === RamFlag.PAGE;
  const isZero = (flags & ~RamFlag.CONTINUE) === RamFlag.ZERO;
  const has = async (count: number): Promise<Uint8Array | undefined> => {
    if (wait) await reader.ensure(at + WORD + count);
    const seen = reader.ahead();
    return seen.length < at + WORD + count
      ? undefined
      : seen.subarray(at + WORD, at + WORD + count);
  };
  if (flags === RamFlag.EOS && value === 0) {
    const footer = await has(5);
    if (footer?.[0] !== Section.FOOTER) return false;
    return new DataView(footer.buffer, footer.byteOffset).getUint32(1) === sectionId;
  }
  // The end of a round, before that of its section.
  if (flags === RamFlag.MULTIFD_FLUSH && value === 0) {
    const next = wordOf(await has(WORD));
    return next?.flags === RamFlag.EOS && next.value === 0;
  }
  if ((!isPage && !isZero) || value % at !== 0) return false;
  if ((flags & RamFlag.CONTINUE) !== 0)
    return value !== offset && (isPage || (await has(1))?.[0] === 0);
  const length = (await has(1))?.[0] ?? 0;
  const name = (await has(1 + length))?.subarray(1);
  return name !== undefined && names.some((one) => sameBytes(one, name));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function wordOf(bytes: Uint8Array | undefined): ReturnType<typeof wordAt> | undefined {
  return bytes === undefined ? undefined : wordAt(bytes, 0);
}

function wordAt(bytes: Uint8Array, at: number): { flags: number; value: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, WORD);
  const low = view.getUint32(4);
  const flags = low % RAM_WORD_ALIGNMENT;
  return { flags, value: view.getUint32(0) * 2 ** 32 + (low - flags) };
}
