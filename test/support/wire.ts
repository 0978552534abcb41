/**
 * QEMU's wire format once more, by hand and with DataView only, so that tests can change every byte
 * of it and do not depend on what they test.
 */

export const RAM_ID = 1;
export const SYNC = 1;
export const ZLIB = 1 << 1;
export const ZSTD = 2 << 1;
export const DEVICE_STATE = 0x40;

/** Words of the "ram" section: the flags in the low 12 bits. */
export const Word = {
  ZERO: 0x002,
  MEM_SIZE: 0x004,
  PAGE: 0x008,
  EOS: 0x010,
  CONTINUE: 0x020,
  XBZRLE: 0x040,
  HOOK: 0x080,
  FLUSH: 0x200,
} as const;

const encoder = new TextEncoder();

export function be16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}

export function be32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

export function be64(value: number | bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(value)));
  return bytes;
}

export function text(value: string): Uint8Array {
  return encoder.encode(value);
}

/** u8 length, then the name. */
export function name(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === 'string' ? text(value) : value;
  return concat(Uint8Array.of(bytes.length), bytes);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** A copy with other bytes at `at`. */
export function patched(bytes: Uint8Array, at: number, value: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  copy.set(value, at);
  return copy;
}

/** The 64 bytes that a multifd channel starts with. */
export function initialPacket(id: number, uuid: Uint8Array = new Uint8Array(16)): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x11223344);
  view.setUint32(4, 1);
  bytes.set(uuid, 8);
  bytes[24] = id;
  return bytes;
}

export interface RamHeader {
  flags?: number;
  /** Pages per packet: 512 KiB / page size. */
  pagesAlloc?: number;
  /** Byte offsets of pages whose content follows. */
  normal?: readonly (number | bigint)[];
  zero?: readonly (number | bigint)[];
  /** next_packet_size. */
  size?: number;
  number?: number;
  block?: string;
}

/** 320 + 8 * pagesAlloc bytes. */
export function ramHeader({
  flags = 0,
  pagesAlloc = 128,
  normal = [],
  zero = [],
  size = 0,
  number = 0,
  block = '',
}: RamHeader): Uint8Array {
  const bytes = new Uint8Array(320 + 8 * pagesAlloc);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x11223344);
  view.setUint32(4, 1);
  view.setUint32(8, flags);
  view.setUint32(12, pagesAlloc);
  view.setUint32(16, normal.length);
  view.setUint32(20, size);
  view.setBigUint64(24, BigInt(number));
  view.setUint32(32, zero.length);
  bytes.set(text(block), 64);
  [...normal, ...zero].forEach((offset, i) =>
    view.setBigUint64(320 + 8 * i, BigInt.asUintN(64, BigInt(offset))),
  );
  return bytes;
}

/** A RAM packet without compression: the header and its pages. */
export function ramPacket(header: RamHeader, pages: Uint8Array = new Uint8Array(0)): Uint8Array {
  return concat(ramHeader({ size: pages.length, ...header }), pages);
}

/** A packet that ends a round: QEMU 9 and later send it alone. */
export function syncPacket(pagesAlloc = 128): Uint8Array {
  return ramHeader({ flags: SYNC, pagesAlloc });
}

/** 276 bytes, then the data. */
export function devicePacket(
  idstr: string,
  instance: number,
  data: Uint8Array,
  size = data.length,
): Uint8Array {
  const bytes = new Uint8Array(276);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x11223344);
  view.setUint32(4, 1);
  view.setUint32(8, DEVICE_STATE);
  bytes.set(text(idstr), 12);
  view.setUint32(268, instance);
  view.setUint32(272, size);
  return concat(bytes, data);
}

export type Packet =
  | { kind: 'sync'; number: number }
  | { kind: 'device'; idstr: string; bytes: Uint8Array }
  | {
      kind: 'ram';
      number: number;
      pagesAlloc: number;
      block: string;
      normal: number[];
      zero: number[];
      pages: Uint8Array;
    };

/** What a channel sent after its initial packet, without compression. */
export function parsePackets(bytes: Uint8Array, pageSize: number): Packet[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const textAt = (at: number): string =>
    Buffer.from(bytes.subarray(at, bytes.indexOf(0, at))).toString();
  const packets: Packet[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (view.getUint32(at) !== 0x11223344 || view.getUint32(at + 4) !== 1)
      throw new Error(`no packet at ${at}`);
    const flags = view.getUint32(at + 8);
    if ((flags & DEVICE_STATE) !== 0) {
      const [idstr, length] = [textAt(at + 12), view.getUint32(at + 272)];
      at += 276;
      packets.push({ kind: 'device', idstr, bytes: bytes.subarray(at, at + length) });
      at += length;
      continue;
    }
    const pagesAlloc = view.getUint32(at + 12);
    const [normal, zero] = [view.getUint32(at + 16), view.getUint32(at + 32)];
    const number = Number(view.getBigUint64(at + 24));
    const block = textAt(at + 64);
    const offsets = Array.from({ length: normal + zero }, (_, page) =>
      Number(view.getBigUint64(at + 320 + 8 * page)),
    );
    at += 320 + (8 * 512 * 1024) / pageSize;
    const pages = bytes.subarray(at, at + normal * pageSize);
    at += pages.length;
    if (normal + zero > 0) {
      packets.push({
        kind: 'ram',
        number,
        pagesAlloc,
        block,
        normal: offsets.slice(0, normal),
        zero: offsets.slice(normal),
        pages,
      });
    }
    if ((flags & SYNC) !== 0) packets.push({ kind: 'sync', number });
  }
  return packets;
}

export interface Block {
  id: string | Uint8Array;
  length: number;
}

export function subsection(title: string, ...fields: Uint8Array[]): Uint8Array {
  return concat(Uint8Array.of(5), name(title), be32(1), ...fields);
}

/** `QEVM`, version 3, CONFIGURATION. */
export function header(machine = 'none', ...subsections: Uint8Array[]): Uint8Array {
  return concat(
    text('QEVM'),
    be32(3),
    Uint8Array.of(7),
    be32(text(machine).length),
    text(machine),
    ...subsections,
  );
}

export function command(number: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  return concat(Uint8Array.of(8), be16(number), be16(data.length), data);
}

export const openReturnPath = (): Uint8Array => command(1);

export function word(value: number | bigint, flags: number): Uint8Array {
  return be64(BigInt(value) | BigInt(flags));
}

/** MEM_SIZE and the block list. */
export function memSize(
  blocks: readonly Block[],
  total = blocks.reduce((sum, { length }) => sum + length, 0),
): Uint8Array {
  return concat(
    word(total, Word.MEM_SIZE),
    ...blocks.map(({ id, length }) => concat(name(id), be64(length))),
  );
}

/** START of "ram" and its block list, without EOS. */
export function start(blocks: readonly Block[], total?: number): Uint8Array {
  return concat(
    Uint8Array.of(1),
    be32(RAM_ID),
    name('ram'),
    be32(0),
    be32(4),
    memSize(blocks, total),
  );
}

export const part = (): Uint8Array => concat(Uint8Array.of(2), be32(RAM_ID));
export const end = (): Uint8Array => concat(Uint8Array.of(3), be32(RAM_ID));
export const flush = (): Uint8Array => word(0, Word.FLUSH);
/** EOS and the section's footer. */
export const endOfSection = (): Uint8Array =>
  concat(word(0, Word.EOS), Uint8Array.of(0x7e), be32(RAM_ID));
export const endOfFile = (): Uint8Array => Uint8Array.of(0);

/** A zero page on the main channel; without a block, the same as the page before. */
export function zeroPage(offset: number, block?: string): Uint8Array {
  return block === undefined
    ? concat(word(offset, Word.ZERO | Word.CONTINUE), Uint8Array.of(0))
    : concat(word(offset, Word.ZERO), name(block), Uint8Array.of(0));
}

/** A page on the main channel. */
export function normalPage(offset: number, content: Uint8Array, block?: string): Uint8Array {
  return block === undefined
    ? concat(word(offset, Word.PAGE | Word.CONTINUE), content)
    : concat(word(offset, Word.PAGE), name(block), content);
}

/** SHUT on the return path; status 0: the target has everything. */
export function shut(status: number): Uint8Array {
  return concat(be16(1), be16(4), be32(status));
}
