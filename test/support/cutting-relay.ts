import { connect, createServer, type Server, type Socket } from 'node:net';

/** PONG 3, and RESUME_ACK: from either on a break is one that can be mended. */
const RUNNING = ['0002000400000003', '0006000400000001'].map((hex) => Buffer.from(hex, 'hex'));

/**
 * Passes connections on to a target in postcopy, and cuts all off once so many bytes have gone there
 * since it said that it has what it needs to run.
 */
export class CuttingRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #left: number;
  #counts = false;

  private constructor(server: Server, left: number) {
    this.#server = server;
    this.#left = left;
  }

  /** @param uri of a target. @param bytes from there on nothing passes. */
  static async open(uri: string, bytes: number): Promise<CuttingRelay> {
    const port = Number(uri.split(':').at(-1));
    const server = createServer({ allowHalfOpen: true });
    const relay = new CuttingRelay(server, bytes);
    server.on('connection', (near) => relay.#join(near, port));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get uri(): string {
    return `tcp:127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(near: Socket, port: number): void {
    const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
    }
    far.pipe(near);
    far.on('data', (data: Buffer) => {
      if (RUNNING.some((message) => data.includes(message))) this.#counts = true;
    });
    near.on('data', (data: Buffer) => {
      if (this.#left <= 0) return;
      // A source that is ahead of its target would have sent everything before it is counted.
      if (!far.write(this.#counts ? data.subarray(0, this.#left) : data)) near.pause();
      if (this.#counts) this.#left -= data.length;
      if (this.#left <= 0) for (const socket of this.#sockets) socket.destroySoon();
    });
    far.on('drain', () => near.resume());
    near.on('end', () => far.end());
  }
}
