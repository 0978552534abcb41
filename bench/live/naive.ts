/** The naive way: the whole memory through one socket, while the program stands still. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { AcceptQueue, Leaving } from './guests.ts';

/** Lengths of the memory and of the other state. */
const HEADER_BYTES = 16;

/**
 * Resolves when the target runs the program. The connection is there before the program is stopped.
 */
export async function moveNaively({ memory, writer, carry }: Leaving, uri: string): Promise<void> {
  const { hostname, port } = new URL(uri);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  writer.stop();
  const state = carry();
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeDoubleBE(memory.buffer.byteLength, 0);
  header.writeDoubleBE(state.length, 8);
  socket.write(header);
  socket.write(state);
  socket.write(new Uint8Array(memory.buffer));
  await once(socket, 'data');
  socket.destroy();
}

/** @returns where it waits, and when the program runs here. */
export async function awaitNaively(
  place: AcceptQueue,
): Promise<{ uri: string; completed: Promise<unknown> }> {
  const server = createServer({ noDelay: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const completed = once(server, 'connection').then(async ([socket]) => {
    server.close();
    await take(socket as Socket, place);
    place.start();
    (socket as Socket).end('!');
  });
  return { uri: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`, completed };
}

async function take(socket: Socket, place: AcceptQueue): Promise<void> {
  let head = Buffer.alloc(0);
  let bytes: Uint8Array | undefined;
  let filled = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    let content = chunk;
    if (bytes === undefined) {
      head = Buffer.concat([head, chunk]);
      if (head.length < HEADER_BYTES || head.length < HEADER_BYTES + head.readDoubleBE(8)) continue;
      const stateEnd = HEADER_BYTES + head.readDoubleBE(8);
      place.keep({ data: head.subarray(HEADER_BYTES, stateEnd) });
      const usedLength = head.readDoubleBE(0);
      bytes = new Uint8Array(place.room({ id: 'sqlite', usedLength }).buffer, 0, usedLength);
      content = head.subarray(stateEnd);
    }
    bytes.set(content, filled);
    filled += content.length;
    if (filled === bytes.length) return;
  }
  throw new Error('the source has gone');
}
