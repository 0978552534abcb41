/**
 * Both ends of QEMU's multifd wire format, by hand from its tables: what the tests of batches and
 * rounds hold against the real ones.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

const MAGIC = 0x11223344;
const VERSION = 1;
export const INITIAL_BYTES = 64;
const SYNC = 1;
const DEVICE_STATE = 0x40;
const AT = {
  flags: 8,
  pagesAlloc: 12,
  normal: 16,
  payload: 20,
  number: 24,
  zero: 32,
  block: 64,
  offsets: 320,
} as const;
const DEVICE = { idstr: 12, payload: 272, length: 276 } as const;

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

/** All that one multifd channel sent: its id, and its packets. */
export interface ChannelBytes {
  id: number;
  packets: Packet[];
}

export function parseChannel(bytes: Uint8Array, pageSize: number): ChannelBytes {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packets: Packet[] = [];
  for (let at = INITIAL_BYTES; at < bytes.length; ) {
    if (view.getUint32(at) !== MAGIC || view.getUint32(at + 4) !== VERSION)
      throw new Error(`no packet at ${at}`);
    const flags = view.getUint32(at + AT.flags);
    if ((flags & DEVICE_STATE) !== 0) {
      const length = view.getUint32(at + DEVICE.payload);
      packets.push({
        kind: 'device',
        idstr: text(bytes, at + DEVICE.idstr),
        bytes: bytes.subarray(at + DEVICE.length, at + DEVICE.length + length),
      });
      at += DEVICE.length + length;
      continue;
    }
    const pagesAlloc = view.getUint32(at + AT.pagesAlloc);
    const [normal, zero] = [view.getUint32(at + AT.normal), view.getUint32(at + AT.zero)];
    const number = Number(view.getBigUint64(at + AT.number));
    const offsets = Array.from({ length: normal + zero }, (_, page) =>
      Number(view.getBigUint64(at + AT.offsets + 8 * page)),
    );
    const block = text(bytes, at + AT.block);
    at += AT.offsets + (8 * 512 * 1024) / pageSize;
    const pages = bytes.subarray(at, at + normal * pageSize);
    at += pages.length;
    if (normal + zero > 0)
      packets.push({
        kind: 'ram',
        number,
        pagesAlloc,
        block,
        normal: offsets.slice(0, normal),
        zero: offsets.slice(normal),
        pages,
      });
    if ((flags & SYNC) !== 0) packets.push({ kind: 'sync', number });
  }
  return { id: bytes[24]!, packets };
}

function text(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.subarray(at, bytes.indexOf(0, at))).toString();
}

/**
 * A target that only listens: it keeps what each multifd channel sends until all connections have
 * ended.
 */
export async function listeningTarget(
  channels: number,
  pageSize: number,
): Promise<{ uri: string; received: Promise<ChannelBytes[]> }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const streams: Promise<Buffer>[] = [];
  const received = new Promise<ChannelBytes[]>((resolve, reject) => {
    server.on('connection', (socket) => {
      streams.push(everything(socket));
      if (streams.length < 1 + channels) return;
      server.close();
      Promise.all(streams)
        .then((all) =>
          all
            .filter((bytes) => bytes.readUInt32BE(0) === MAGIC)
            .map((bytes) => parseChannel(bytes, pageSize)),
        )
        .then((parsed) => resolve(parsed.sort((a, b) => a.id - b.id)), reject);
    });
  });
  return { uri: `tcp:127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

async function everything(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A connection to a target at a `tcp:` URI. */
export async function connectTo(uri: string): Promise<Socket> {
  const [, host, port] = uri.split(':');
  const socket = connect(Number(port), host);
  await once(socket, 'connect');
  return socket;
}

export function initialPacket(id: number): Uint8Array {
  const packet = Buffer.alloc(INITIAL_BYTES);
  packet.writeUInt32BE(MAGIC, 0);
  packet.writeUInt32BE(VERSION, 4);
  packet[24] = id;
  return packet;
}

export interface RamPacket {
  block?: string;
  number?: number;
  /** Byte offsets. */
  normal?: readonly number[];
  zero?: readonly number[];
  sync?: boolean;
  /** What each byte of the normal pages is. */
  fill?: number;
}

/** A RAM packet for pages of 4096 bytes. */
export function ramPacket({
  block = '',
  number = 0,
  normal = [],
  zero = [],
  sync = false,
  fill = 0,
}: RamPacket): Uint8Array {
  const pages = 128;
  const header = Buffer.alloc(AT.offsets + 8 * pages);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(VERSION, 4);
  header.writeUInt32BE(sync ? SYNC : 0, AT.flags);
  header.writeUInt32BE(pages, AT.pagesAlloc);
  header.writeUInt32BE(normal.length, AT.normal);
  header.writeUInt32BE(normal.length * 4096, AT.payload);
  header.writeBigUInt64BE(BigInt(number), AT.number);
  header.writeUInt32BE(zero.length, AT.zero);
  header.write(block, AT.block);
  for (const [page, offset] of [...normal, ...zero].entries())
    header.writeBigUInt64BE(BigInt(offset), AT.offsets + 8 * page);
  return Buffer.concat([header, Buffer.alloc(normal.length * 4096, fill)]);
}
