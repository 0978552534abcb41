import type { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { ReturnMessageType } from './constants.ts';

/** What a target says to its source on the main connection. */
export type ReturnMessage =
  /** The target is done; `status` 0 means that it has everything. */
  | { readonly type: 'shut'; readonly status: number }
  /** The answer to PING, with its value. */
  | { readonly type: 'pong'; readonly value: number }
  /** The target is ready for the source to stop. */
  | { readonly type: 'switchover-ack' };

/** Requests of postcopy and its recovery: a source that never offered these cannot answer them. */
const REFUSED = new Set<number>([
  ReturnMessageType.REQ_PAGES_ID,
  ReturnMessageType.REQ_PAGES,
  ReturnMessageType.RECV_BITMAP,
  ReturnMessageType.RESUME_ACK,
]);

const LENGTHS = new Map<number, number>([
  [ReturnMessageType.SHUT, 4],
  [ReturnMessageType.PONG, 4],
  [ReturnMessageType.SWITCHOVER_ACK, 0],
]);

/** be16 type | be16 length | data: be32 for SHUT and PONG, nothing for SWITCHOVER_ACK. */
export function returnMessage(message: ReturnMessage): Uint8Array {
  const writer = new ByteWriter();
  switch (message.type) {
    case 'shut':
      return writer.u16(ReturnMessageType.SHUT).u16(4).u32(message.status).finish();
    case 'pong':
      return writer.u16(ReturnMessageType.PONG).u16(4).u32(message.value).finish();
    case 'switchover-ack':
      return writer.u16(ReturnMessageType.SWITCHOVER_ACK).u16(0).finish();
  }
}

/**
 * The next message of the return path; undefined if the target closed it between two messages.
 *
 * @throws MultifdError ERR_STREAM for an unknown type or a wrong length, ERR_UNSUPPORTED for
 *   postcopy's requests, ERR_PEER_CLOSED for an end within a message.
 */
export async function readReturnMessage(reader: ByteReader): Promise<ReturnMessage | undefined> {
  if (await reader.atEnd()) return undefined;
  const at = reader.position;
  await reader.ensure(4);
  const type = reader.u16();
  const length = reader.u16();
  if (REFUSED.has(type))
    throw reader.error(
      'ERR_UNSUPPORTED',
      `the target sent the postcopy request ${type}, which was not offered`,
      at,
    );
  const expected = LENGTHS.get(type);
  if (expected === undefined)
    throw reader.error('ERR_STREAM', `the target sent a message of the unknown type ${type}`, at);
  if (length !== expected)
    throw reader.error(
      'ERR_STREAM',
      `the target's message ${type} has ${length} bytes; expected ${expected}`,
      at,
    );
  await reader.ensure(length);
  if (type === ReturnMessageType.SHUT) return { type: 'shut', status: reader.u32() };
  if (type === ReturnMessageType.PONG) return { type: 'pong', value: reader.u32() };
  return { type: 'switchover-ack' };
}
