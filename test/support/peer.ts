import { connect, createServer, type Server, type Socket } from 'node:net';
import { concat, initialPacket } from './wire.ts';

/** One connection in a test's hand: bytes out as they are given, bytes in as they come. */
export class Wire {
  /** Resolves when nothing of the connection is left. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #error: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => resolve());
    });
  }

  static open(uri: string): Promise<Wire> {
    const tcp = /^tcp:(.*):(\d+)$/.exec(uri);
    return new Promise((resolve, reject) => {
      const place =
        tcp === null
          ? { path: uri.slice('unix:'.length) }
          : { host: tcp[1]!, port: Number(tcp[2]) };
      const socket = connect({ ...place, allowHalfOpen: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Wire(socket));
      });
    });
  }

  put(...parts: readonly Uint8Array[]): void {
    this.#socket.write(concat(...parts));
  }

  /** Puts, and waits until the kernel has taken all of it. */
  async putAll(...parts: readonly Uint8Array[]): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#socket.write(concat(...parts), () => resolve());
    });
  }

  /** `count` bytes; fewer when the peer ends or resets before that. */
  async take(count: number): Promise<Buffer> {
    const socket = this.#socket;
    const pieces: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      const buffered = socket.readableLength;
      const piece = (
        buffered === 0 ? null : socket.read(Math.min(missing, buffered))
      ) as Buffer | null;
      if (piece !== null) {
        pieces.push(piece);
        missing -= piece.length;
        continue;
      }
      if (this.#error !== undefined || socket.destroyed || socket.readableEnded) break;
      socket.read(0); // at the end of the stream this is what makes it say so
      await new Promise<void>((resolve) => {
        const done = (): void => {
          for (const event of ['readable', 'end', 'close', 'error']) socket.off(event, done);
          resolve();
        };
        for (const event of ['readable', 'end', 'close', 'error']) socket.on(event, done);
      });
    }
    return Buffer.concat(pieces);
  }

  /** Everything to the end. */
  async rest(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (;;) {
      const piece = await this.take(1);
      if (piece.length === 0) return Buffer.concat(pieces);
      pieces.push(piece, await this.take(this.#socket.readableLength));
    }
  }

  /** Reads all that comes, to nowhere. */
  ignore(): void {
    this.#socket.resume();
  }

  /** Waits until the peer hangs up, and does the same. */
  async dropped(): Promise<void> {
    await this.rest();
    this.destroy();
    await this.closed;
  }

  /** Nothing more comes from here. */
  end(): void {
    this.#socket.end();
  }

  /** Closes in order: an end, when everything that came was read. */
  destroy(): void {
    this.#socket.destroy();
  }

  /**
   * Closes a TCP connection with a reset and nothing else; `resetAndDestroy` would end it in order
   * first.
   */
  reset(): void {
    Object.assign(this.#socket, { resetAndClosing: true }).destroy();
  }
}

/** A source in a test's hand. */
export class Source {
  readonly main: Wire;
  readonly channels: readonly Wire[];

  private constructor(main: Wire, channels: readonly Wire[]) {
    this.main = main;
    this.channels = channels;
  }

  /**
   * Connects the main channel and `channels` others, which have said their ids; the main channel
   * has said nothing yet.
   */
  static async connect(uri: string, channels: number): Promise<Source> {
    const main = await Wire.open(uri);
    const wires: Wire[] = [];
    for (let id = 0; id < channels; id++) {
      const wire = await Wire.open(uri);
      wire.put(initialPacket(id));
      wires.push(wire);
    }
    return new Source(main, wires);
  }

  /** The same bytes to each channel. */
  toAll(...parts: readonly Uint8Array[]): void {
    for (const channel of this.channels) channel.put(...parts);
  }

  async close(): Promise<void> {
    for (const wire of [this.main, ...this.channels]) wire.destroy();
    await Promise.all([this.main, ...this.channels].map(({ closed }) => closed));
  }
}

/** A target in a test's hand: it listens, and sorts the connections that come. */
export class Target {
  readonly uri: string;
  readonly #server: Server;
  readonly #waiting: Wire[] = [];
  readonly #wires: Wire[] = [];
  #wake: () => void = () => {};

  private constructor(server: Server, path: string | undefined) {
    this.#server = server;
    const address = server.address();
    this.uri =
      path === undefined && typeof address === 'object'
        ? `tcp:127.0.0.1:${address!.port}`
        : `unix:${path}`;
    server.on('connection', (socket) => {
      const wire = new Wire(socket);
      this.#wires.push(wire);
      this.#waiting.push(wire);
      this.#wake();
    });
  }

  static async listen(path?: string): Promise<Target> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve) => {
      if (path === undefined) server.listen(0, '127.0.0.1', resolve);
      else server.listen(path, resolve);
    });
    return new Target(server, path);
  }

  /** The next connection, in the order they came. The first is the main channel. */
  async accept(): Promise<Wire> {
    for (;;) {
      const wire = this.#waiting.shift();
      if (wire !== undefined) return wire;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The next `count` connections, which say that they are channels, by id. */
  async channels(count: number): Promise<Wire[]> {
    const wires: Wire[] = [];
    for (let i = 0; i < count; i++) {
      const wire = await this.accept();
      const initial = await wire.take(64);
      wires[initial[24]!] = wire;
    }
    return wires;
  }

  /** Stops listening; connections stay. */
  stopListening(): void {
    this.#server.close();
  }

  async close(): Promise<void> {
    if (this.#server.listening) this.#server.close();
    for (const wire of this.#wires) wire.destroy();
    await Promise.all(this.#wires.map(({ closed }) => closed));
  }
}
