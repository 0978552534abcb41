import type { Random } from '../../support/random.ts';
import {
  be16,
  be32,
  be64,
  command,
  concat,
  devicePacket,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  initialPacket,
  memSize,
  name,
  normalPage,
  openReturnPath,
  part,
  RAM_ID,
  ramHeader,
  ramPacket,
  start,
  subsection,
  SYNC,
  syncPacket,
  text,
  Word,
  word,
  zeroPage,
  ZLIB,
  ZSTD,
} from '../../support/wire.ts';

/**
 * Migrations by the rules of the format, each other than the one before, and what a target has
 * after them.
 */

export const PAGE = 4096;

export type Method = 'none' | 'zlib' | 'zstd';

export interface Piece {
  idstr: string;
  instanceId: number;
  data: Uint8Array;
}

export interface Migration {
  compression: Method;
  returnPath: boolean;
  /** The messages of each connection. */
  main: Uint8Array[];
  channels: Uint8Array[][];
  /** What comes out of it. */
  memory: Map<string, Uint8Array>;
  states: Piece[];
}

const NAMES = ['ram', 'heap', 'a', 'pc.ram', '/rom@etc/acpi', 'ü', '__proto__', 'x'.repeat(255)];

export interface Limits {
  blocks?: number;
  pages?: number;
  compression?: Method;
  /** Bytes behind the RAM. */
  tail?: boolean;
}

/** A whole migration, as a source of some QEMU or of this project would send it. */
export function migration(random: Random, limits: Limits = {}): Migration {
  const compression = limits.compression ?? random.pick(['none', 'none', 'zlib', 'zstd']);
  const perRound = random.chance(0.7);
  const returnPath = random.chance(0.6);
  const blocks = pickBlocks(random, limits);
  const codecs = Array.from({ length: 1 + random.below(3) }, () => encoder(compression, random));
  const channels: Uint8Array[][] = codecs.map((_, id) => [initialPacket(id)]);
  const memory = new Map(blocks.map(({ id, length }) => [id, new Uint8Array(length)]));
  const states: Piece[] = [];

  const sync = (): Uint8Array => {
    for (const channel of channels) channel.push(syncPacket());
    return concat(...(perRound ? [flush()] : []), endOfSection());
  };
  const main = [header(random.pick(['none', 'pc-i440fx-10.0']), ...configuration(random))];
  if (returnPath) main.push(openReturnPath());
  if (random.chance(0.3)) main.push(command(2, be32(random.word())));
  main.push(start(blocks), sync());
  const rounds = random.below(4);
  for (let round = 0; round <= rounds; round++) {
    main.push(round < rounds ? part() : end());
    // Between two syncs a page comes once at most.
    for (const [id, content] of memory) {
      const pages = pick(random, content.length / PAGE, random.pick([0.1, 0.5, 1]));
      send(random, id, content, pages, { channels, codecs, main, states });
    }
    main.push(sync());
  }
  main.push(limits.tail === false || random.chance(0.6) ? endOfFile() : tail(random));
  return { compression, returnPath, main, channels, memory, states };
}

function pickBlocks(random: Random, limits: Limits): Array<{ id: string; length: number }> {
  const count = 1 + random.below(limits.blocks ?? 3);
  const from = random.below(NAMES.length);
  return Array.from({ length: count }, (_, n) => ({
    id: NAMES[(from + n) % NAMES.length]!,
    length: (1 + random.below(limits.pages ?? 20)) * PAGE,
  }));
}

function configuration(random: Random): Uint8Array[] {
  if (random.chance(0.8)) return [];
  return [subsection('configuration/target-page-bits', be32(12))];
}

function pick(random: Random, pages: number, share: number): number[] {
  return Array.from({ length: pages }, (_, page) => page).filter(() => random.chance(share));
}

interface Connections {
  channels: Uint8Array[][];
  codecs: Encoder[];
  main: Uint8Array[];
  states: Piece[];
}

/** New content for some pages, on their way by one of the ways that there are. */
function send(
  random: Random,
  block: string,
  content: Uint8Array,
  pages: number[],
  { channels, codecs, main, states }: Connections,
): void {
  for (let at = 0; at < pages.length; ) {
    const some = pages.slice(at, (at += 1 + random.below(16)));
    const zero = some.filter(() => random.chance(0.3));
    const normal = some.filter((page) => !zero.includes(page));
    for (const page of zero) content.fill(0, page * PAGE, (page + 1) * PAGE);
    for (const page of normal) content.set(pageContent(random), page * PAGE);
    if (random.chance(0.2)) {
      // As sources before QEMU 9.0 do it, and those without multifd's zero pages.
      for (const page of zero) main.push(zeroPage(page * PAGE, block));
      if (normal.length > 0 && random.chance(0.3)) {
        for (const page of normal) main.push(normalPage(page * PAGE, pageAt(content, page), block));
        continue;
      }
      zero.length = 0;
      if (normal.length === 0) continue;
    }
    const id = random.below(channels.length);
    const bytes = concat(...normal.map((page) => pageAt(content, page)));
    const payload = normal.length === 0 ? bytes : codecs[id]!.encode(bytes);
    const offsets = { normal: normal.map(toOffset), zero: zero.map(toOffset) };
    channels[id]!.push(ramPacket({ block, flags: codecs[id]!.flag, ...offsets }, payload));
    if (random.chance(0.1)) {
      const piece = { idstr: 'state', instanceId: 0, data: random.bytes(1 + random.below(500)) };
      states.push(piece);
      channels[id]!.push(devicePacket(piece.idstr, piece.instanceId, piece.data));
    }
  }
}

const toOffset = (page: number): number => page * PAGE;
const pageAt = (content: Uint8Array, page: number): Uint8Array =>
  content.subarray(page * PAGE, (page + 1) * PAGE);

function pageContent(random: Random): Uint8Array {
  if (random.chance(0.5)) return new Uint8Array(PAGE).fill(1 + random.below(255));
  return random.bytes(PAGE);
}

interface Encoder {
  flag: number;
  /** The pages of one packet, as the next piece of the channel's stream. */
  encode(bytes: Uint8Array): Uint8Array;
}

/**
 * Streams written by hand, without a codec: stored blocks of RFC 1950 and 1951, and raw and RLE
 * blocks of RFC 8878.
 */
function encoder(method: Method, random: Random): Encoder {
  if (method === 'none') return { flag: 0, encode: (bytes) => bytes };
  let begun = false;
  if (method === 'zlib') {
    return {
      flag: ZLIB,
      encode(bytes) {
        const parts: Uint8Array[] = begun ? [] : [Uint8Array.of(0x78, 0x01)];
        begun = true;
        for (let at = 0; at < bytes.length; at += 0xffff) {
          parts.push(stored(bytes.subarray(at, at + 0xffff)));
        }
        return concat(...parts, stored(new Uint8Array(0))); // a sync flush ends with an empty one
      },
    };
  }
  return {
    flag: ZSTD,
    encode(bytes) {
      // A frame with a window of 512 KiB, whose length is not said.
      const head = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 9 << 3);
      const parts: Uint8Array[] = begun ? [] : [head];
      begun = true;
      for (let at = 0; at < bytes.length; at += PAGE) {
        const piece = bytes.subarray(at, at + PAGE);
        const repeated = piece.every((byte) => byte === piece[0]) && random.chance(0.8);
        parts.push(zstdBlock(repeated ? 1 : 0, piece.length));
        parts.push(repeated ? piece.subarray(0, 1) : piece);
      }
      return concat(...parts);
    },
  };
}

function stored(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  const lengths = [length & 0xff, length >> 8, ~length & 0xff, (~length >> 8) & 0xff];
  return concat(Uint8Array.of(0, ...lengths), bytes);
}

function zstdBlock(type: number, size: number): Uint8Array {
  const word24 = (size << 3) | (type << 1);
  return Uint8Array.of(word24, word24 >> 8, word24 >> 16);
}

/** A device section, and what describes it. */
export function section(id: number, idstr: string, content: Uint8Array): Uint8Array {
  return concat(
    Uint8Array.of(4),
    be32(id),
    name(idstr),
    be32(0),
    be32(1),
    content,
    Uint8Array.of(0x7e),
    be32(id),
  );
}

export function description(json: unknown): Uint8Array {
  const bytes = text(typeof json === 'string' ? json : JSON.stringify(json));
  return concat(Uint8Array.of(6), be32(bytes.length), bytes);
}

/** One device with the fields that its description says, to the byte. */
function tail(random: Random): Uint8Array {
  const { fields, bytes } = deviceFields(random, 0);
  const device = { name: 'dev', instance_id: 0, version: 1, vmsd_name: 'dev', fields };
  const described = random.chance(0.5) ? [description({ page_size: PAGE, devices: [device] })] : [];
  return concat(section(7, 'dev', bytes), endOfFile(), ...described);
}

const TYPES = ['uint8', 'uint16', 'uint32', 'uint64', 'int32', 'bool', 'buffer', 'timer'] as const;
const SIZES = { uint8: 1, uint16: 2, uint32: 4, uint64: 8, int32: 4, bool: 1, timer: 8 };

/** Fields that fit their bytes. */
export function deviceFields(
  random: Random,
  depth: number,
): { fields: object[]; bytes: Uint8Array } {
  const fields: object[] = [];
  const parts: Uint8Array[] = [];
  for (let left = random.below(6); left > 0; left--) {
    const count = random.chance(0.3) ? 1 + random.below(5) : undefined;
    const array = count === undefined ? {} : { array_len: count };
    if (depth < 4 && random.chance(0.3)) {
      const inner = deviceFields(random, depth + 1);
      const struct = { vmsd_name: `s${depth}`, version: 1, fields: inner.fields };
      fields.push({ name: 's', ...array, type: 'struct', struct, size: inner.bytes.length });
      for (let n = 0; n < (count ?? 1); n++) parts.push(inner.bytes);
      continue;
    }
    const type = random.pick(TYPES);
    const size = type === 'buffer' ? random.below(40) : SIZES[type];
    fields.push({ name: type, ...array, type, size });
    const bytes = random.bytes(size * (count ?? 1));
    parts.push(type === 'bool' ? bytes.map((byte) => byte & 1) : bytes);
  }
  return { fields, bytes: concat(...parts) };
}

/** Messages of the format, each right by itself, that nobody expects where they are put. */
export function unexpected(random: Random): Uint8Array {
  return random.pick<() => Uint8Array>([
    () => word(0, random.pick([Word.HOOK, Word.XBZRLE, Word.FLUSH, Word.EOS, 0x100, 0x400, 0xfff])),
    () => concat(memSize([{ id: 'ram', length: (1 + random.below(64)) * PAGE }]), flush()),
    () => memSize([{ id: 'ram', length: PAGE }], random.word()),
    () => command(random.below(13), random.bytes(random.below(40))),
    () => command(3, concat(be64(PAGE), be64(PAGE))),
    () => concat(Uint8Array.of(random.below(256)), random.bytes(random.below(20))),
    () => header(),
    () => start([{ id: 'ram', length: PAGE }]),
    () => part(),
    () => end(),
    () => endOfFile(),
    () => flush(),
    () => endOfSection(),
    () => zeroPage(random.below(30) * PAGE, random.chance(0.5) ? 'ram' : undefined),
    () => initialPacket(random.below(256)),
    () => syncPacket(),
    () => ramHeader({ flags: SYNC | random.below(64), size: random.word() }),
    () => ramPacket({ block: 'ram', normal: [0, 0] }, new Uint8Array(2 * PAGE).fill(7)),
    () => devicePacket('', 0, new Uint8Array(0)),
    () => devicePacket('state', random.word(), random.bytes(10), random.word()),
    () => {
      const capability = random.pick(['mapped-ram', 'x-ignore-shared']);
      return subsection('configuration/capabilities', be32(1), name(capability));
    },
    () => concat(be16(random.below(12)), be16(random.below(10)), be32(random.word())),
    () => concat(Uint8Array.of(4), be32(random.word()), name('dev'), be32(0), be32(RAM_ID)),
  ])();
}
