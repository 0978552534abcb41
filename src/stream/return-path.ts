import type { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { bitmapBytes, ReturnMessageType } from './constants.ts';
import { readName } from './names.ts';

/** What a target says to its source on the main connection. */
export type ReturnMessage =
  /** The target is done; `status` 0 means that it has everything. */
  | { readonly type: 'shut'; readonly status: number }
  /** The answer to PING, with its value. */
  | { readonly type: 'pong'; readonly value: number }
  /** The target is ready for the source to stop. */
  | { readonly type: 'switchover-ack' }
  /** Postcopy: the target's program waits for these pages. */
  | {
      readonly type: 'request-pages';
      /** The block's id; undefined: that of the request before. */
      readonly block: string | undefined;
      /** Bytes in the block. */
      readonly start: number;
      /** Bytes. */
      readonly length: number;
    }
  /** Recovery: which pages of a block the target has. */
  | {
      readonly type: 'received-bitmap';
      readonly block: string;
      /** One bit a page, from the lowest of the first byte on; a multiple of 8 bytes. */
      readonly bitmap: Uint8Array;
    }
  /** Recovery: the target goes on. */
  | { readonly type: 'resume-ack' };

/** What a source has offered, without which postcopy's messages are refused. */
export interface PostcopyOffer {
  /** How many pages a block has; undefined if there is none of that id. */
  pagesOf(id: string): number | undefined;
}

const POSTCOPY = new Set<number>([
  ReturnMessageType.REQ_PAGES_ID,
  ReturnMessageType.REQ_PAGES,
  ReturnMessageType.RECV_BITMAP,
  ReturnMessageType.RESUME_ACK,
]);

/** Shortest and longest data, in bytes. */
const LENGTHS = new Map<number, readonly [number, number]>([
  [ReturnMessageType.SHUT, [4, 4]],
  [ReturnMessageType.PONG, [4, 4]],
  [ReturnMessageType.SWITCHOVER_ACK, [0, 0]],
  [ReturnMessageType.REQ_PAGES, [12, 12]],
  [ReturnMessageType.REQ_PAGES_ID, [14, 12 + 256]],
  [ReturnMessageType.RECV_BITMAP, [2, 256]],
  [ReturnMessageType.RESUME_ACK, [4, 4]],
]);

/** The only value of a RESUME_ACK. */
const RESUME_ACK_VALUE = 1;
/** Follows a bitmap. */
const BITMAP_END = [0x01234567, 0x89abcdef] as const;

/**
 * be16 type | be16 length | data:
 *
 *     SHUT, PONG      be32
 *     SWITCHOVER_ACK  nothing
 *     REQ_PAGES       be64 start | be32 length
 *     REQ_PAGES_ID    be64 start | be32 length | u8 length, block id
 *     RECV_BITMAP     u8 length, block id; and, beyond the message's length,
 *                     be64 bytes | bitmap | be64 0x0123456789abcdef
 *     RESUME_ACK      be32 1
 */
export function returnMessage(message: ReturnMessage): Uint8Array {
  const writer = new ByteWriter();
  switch (message.type) {
    case 'shut':
      return writer.u16(ReturnMessageType.SHUT).u16(4).u32(message.status).finish();
    case 'pong':
      return writer.u16(ReturnMessageType.PONG).u16(4).u32(message.value).finish();
    case 'switchover-ack':
      return writer.u16(ReturnMessageType.SWITCHOVER_ACK).u16(0).finish();
    case 'request-pages': {
      const data = new ByteWriter().u64(message.start).u32(message.length);
      const { block } = message;
      return block === undefined
        ? withData(ReturnMessageType.REQ_PAGES, data)
        : withData(ReturnMessageType.REQ_PAGES_ID, data.name(block));
    }
    case 'received-bitmap': {
      const { block, bitmap } = message;
      const [high, low] = BITMAP_END;
      return writer
        .bytes(withData(ReturnMessageType.RECV_BITMAP, new ByteWriter().name(block)))
        .u64(bitmap.length)
        .bytes(bitmap)
        .u32(high)
        .u32(low)
        .finish();
    }
    case 'resume-ack':
      return writer.u16(ReturnMessageType.RESUME_ACK).u16(4).u32(RESUME_ACK_VALUE).finish();
  }
}

function withData(type: number, data: ByteWriter): Uint8Array {
  const bytes = data.finish();
  return new ByteWriter().u16(type).u16(bytes.length).bytes(bytes).finish();
}

/**
 * The next message of the return path; undefined if the target closed it between two messages.
 *
 * @param offered what the source has offered of postcopy; undefined: nothing.
 * @throws MultifdError ERR_STREAM for an unknown type, a wrong length, or a bitmap that is not the
 *   block's; ERR_BLOCK for a bitmap of a block that is not known; ERR_UNSUPPORTED for postcopy's
 *   messages where it was not offered; ERR_PEER_CLOSED for an end within a message.
 */
export async function readReturnMessage(
  reader: ByteReader,
  offered?: PostcopyOffer,
): Promise<ReturnMessage | undefined> {
  if (await reader.atEnd()) return undefined;
  const at = reader.position;
  await reader.ensure(4);
  const type = reader.u16();
  const length = reader.u16();
  if (offered === undefined && POSTCOPY.has(type))
    throw reader.error(
      'ERR_UNSUPPORTED',
      `the target sent the postcopy request ${type}, which was not offered`,
      at,
    );
  const limits = LENGTHS.get(type);
  if (limits === undefined)
    throw reader.error('ERR_STREAM', `the target sent a message of the unknown type ${type}`, at);
  const [shortest, longest] = limits;
  if (length < shortest || length > longest)
    throw reader.error(
      'ERR_STREAM',
      `the target's message ${type} has ${length} bytes; expected ` +
        `${shortest === longest ? shortest : `${shortest} to ${longest}`}`,
      at,
    );
  await reader.ensure(length);
  switch (type) {
    case ReturnMessageType.SHUT:
      return { type: 'shut', status: reader.u32() };
    case ReturnMessageType.PONG:
      return { type: 'pong', value: reader.u32() };
    case ReturnMessageType.REQ_PAGES:
    case ReturnMessageType.REQ_PAGES_ID: {
      const [start, bytes] = [reader.u64(), reader.u32()];
      const block =
        type === ReturnMessageType.REQ_PAGES
          ? undefined
          : await readWholeName(reader, length - 12, at);
      return { type: 'request-pages', block, start, length: bytes };
    }
    case ReturnMessageType.RECV_BITMAP: {
      const block = await readWholeName(reader, length, at);
      return { type: 'received-bitmap', block, bitmap: await readBitmap(reader, block, offered!) };
    }
    case ReturnMessageType.RESUME_ACK: {
      const value = reader.u32();
      if (value === RESUME_ACK_VALUE) return { type: 'resume-ack' };
      throw reader.error('ERR_STREAM', `the target acknowledged a resume with ${value}, not 1`, at);
    }
    default:
      return { type: 'switchover-ack' };
  }
}

/** A name that has to fill the rest of a message. @param rest bytes. */
async function readWholeName(reader: ByteReader, rest: number, at: number): Promise<string> {
  const length = reader.peek() + 1;
  if (length !== rest)
    throw reader.error('ERR_STREAM', `a block's id of ${length} bytes in ${rest}`, at);
  return readName(reader, 'a RAM block', 'ERR_BLOCK');
}

async function readBitmap(
  reader: ByteReader,
  block: string,
  offered: PostcopyOffer,
): Promise<Uint8Array> {
  const at = reader.position;
  const pages = offered.pagesOf(block);
  if (pages === undefined)
    throw reader.error('ERR_BLOCK', `the target has a bitmap of ${block}, which is no block`, at);
  const bytes = bitmapBytes(pages);
  await reader.ensure(8);
  const length = reader.u64();
  if (length !== bytes)
    throw reader.error(
      'ERR_STREAM',
      `the target's bitmap of ${block} has ${length} bytes; ${pages} pages take ${bytes}`,
      at,
    );
  const bitmap = new Uint8Array(length);
  await reader.copyInto(bitmap);
  await reader.ensure(8);
  const [high, low] = BITMAP_END;
  if (reader.u32() !== high || reader.u32() !== low)
    throw reader.error('ERR_STREAM', `the target's bitmap of ${block} has no end`, at);
  return bitmap;
}
