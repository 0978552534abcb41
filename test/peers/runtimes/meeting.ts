import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

export interface Meeting {
  /** WebSocket addresses. */
  source: string;
  target: string;
  /** Where requests from any page are answered, and lead to nothing. */
  http: string;
  close(): void;
}

/**
 * Joins what comes at one address with what comes at the other, in the order in which they come.
 */
class Matchmaker {
  readonly #waiting: { side: string; socket: WebSocket }[] = [];

  add(side: string, socket: WebSocket): void {
    const at = this.#waiting.findIndex((other) => other.side !== side);
    if (at < 0) this.#waiting.push({ side, socket });
    else join(socket, this.#waiting.splice(at, 1)[0]!.socket);
  }
}

function join(a: WebSocket, b: WebSocket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on('message', (data) => to.send(data));
    from.on('close', () => to.close());
    from.resume();
  }
}

/** A page's request may not fail for where the page is from. */
const OPEN_TO_PAGES = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Headers': '*',
  'Access-Control-Allow-Methods': '*',
};

/**
 * Where a source and a target meet that can both only dial. It forwards what each says to the
 * other, and does not look at it.
 */
export async function openMeeting(): Promise<Meeting> {
  const sockets = new Matchmaker();
  const server = createServer((_, response) => void response.writeHead(200, OPEN_TO_PAGES).end());
  const webSockets = new WebSocketServer({ server });
  webSockets.on('connection', (socket, request) => {
    socket.on('error', () => {}).pause();
    sockets.add(request.url!, socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    source: `ws://127.0.0.1:${port}/source`,
    target: `ws://127.0.0.1:${port}/target`,
    http: `http://127.0.0.1:${port}/`,
    close() {
      for (const socket of webSockets.clients) socket.terminate();
      server.closeAllConnections();
      server.close();
    },
  };
}
