import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Io } from '../conformance/capabilities.ts';

export interface Meeting {
  addresses: NonNullable<Io['meeting']>;
  close(): void;
}

/** Joins what comes at one address with what comes at the other, in the order in which they come. */
class Matchmaker<T> {
  readonly #waiting: { side: string; one: T }[] = [];
  readonly #join: (a: T, b: T) => void;

  constructor(join: (a: T, b: T) => void) {
    this.#join = join;
  }

  add(side: string, one: T): void {
    const at = this.#waiting.findIndex((other) => other.side !== side);
    if (at < 0) this.#waiting.push({ side, one });
    else this.#join(one, this.#waiting.splice(at, 1)[0]!.one);
  }
}

/** A page's request may not fail for where the page is from. */
const OPEN_TO_PAGES = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Allow-Headers': '*', 'Access-Control-Allow-Methods': '*' };

type Exchange = { request: IncomingMessage; response: ServerResponse };

/** Where a source and a target meet that can both only dial. It forwards what each says to the other, and does not look at it. */
export async function openMeeting(): Promise<Meeting> {
  const exchanges = new Matchmaker<Exchange>((a, b) => {
    a.request.pipe(b.response);
    b.request.pipe(a.response);
  });
  const sockets = new Matchmaker<WebSocket>((a, b) => {
    for (const [from, to] of [[a, b], [b, a]] as const) {
      from.on('message', (data) => to.send(data));
      from.on('close', () => to.close());
      from.resume();
    }
  });
  const server = createServer((request, response) => {
    response.on('error', () => {});
    for (const [name, value] of Object.entries(OPEN_TO_PAGES)) response.setHeader(name, value);
    if (request.method === 'OPTIONS') return void response.end();
    response.flushHeaders();
    exchanges.add(request.url!, { request: request.on('error', () => {}), response });
  });
  const webSockets = new WebSocketServer({ server });
  webSockets.on('connection', (socket, request) => {
    socket.on('error', () => {}).pause();
    sockets.add(request.url!, socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const at = (scheme: string): { source: string; target: string } => ({ source: `${scheme}://127.0.0.1:${port}/source`, target: `${scheme}://127.0.0.1:${port}/target` });
  return {
    addresses: { webSocket: at('ws'), http: at('http') },
    close() {
      for (const socket of webSockets.clients) socket.terminate();
      server.closeAllConnections();
      server.close();
    },
  };
}
