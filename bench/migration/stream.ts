/** The plain Node way: one socket, and a pipeline through gzip if need be. */
import { once } from 'node:events';
import { connect, createServer, type Socket, type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { MIB } from './order.ts';

/** Resolves when the target has everything. */
export async function sendPlainly(uri: string, ram: Uint8Array, gzip: boolean): Promise<void> {
  const { hostname, port } = new URL(uri);
  const socket = connect({
    host: hostname,
    port: Number(port),
    allowHalfOpen: true,
    noDelay: true,
  });
  await once(socket, 'connect');
  const answered = once(socket, 'data');
  const pieces = Readable.from(piecesOf(ram));
  await (gzip
    ? pipeline(pieces, createGzip({ level: 1, chunkSize: MIB }), socket)
    : pipeline(pieces, socket));
  await answered;
  socket.destroy();
}

function* piecesOf(ram: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < ram.length; at += MIB) yield ram.subarray(at, at + MIB);
}

export async function receivePlainly(
  ram: Uint8Array,
  gzip: boolean,
): Promise<{ uri: string; completed: Promise<unknown> }> {
  const server = createServer({ noDelay: true, allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const completed = once(server, 'connection').then(async ([connection]) => {
    server.close();
    const socket = connection as Socket;
    const content: AsyncIterable<Buffer> = gzip
      ? socket.pipe(createGunzip({ chunkSize: MIB }))
      : socket.iterator({ destroyOnReturn: false });
    let filled = 0;
    for await (const chunk of content) {
      ram.set(chunk, filled);
      filled += chunk.length;
    }
    if (filled !== ram.length) throw new Error(`${filled} bytes came, not ${ram.length}`);
    socket.end('!');
  });
  return { uri: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`, completed };
}
