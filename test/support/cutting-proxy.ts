import { connect, createServer, type Server, type Socket } from 'node:net';

/** A message of a migration, as the proxy sees it go by. */
export interface Seen {
  /** `main`, the number of a channel, or `back` for the return path. */
  on: 'main' | 'back' | number;
  what: string;
}

const RAM_HEADER = 1344;
const PAGE = 4096;

/**
 * Tells a stream's messages apart. Gives the length of the message at the start of `bytes`, once
 * that can be told.
 */
type Measure = (bytes: Buffer) => { length: number; what: string } | undefined;

/** How connections fail. */
export interface Cut {
  /** Within the message, not before it. */
  inside?: boolean;
  /** Ended in order (the default), reset, or kept open with nothing passed on any more. */
  how?: 'end' | 'reset' | 'stall';
  /** Only the message's own connection; the others go on. */
  alone?: boolean;
}

/**
 * Stands between a source and a target, and lets messages through one by one. Once {@link
 * counting}, `letThrough` is asked before each: when it says no, all connections, or that one, are
 * cut.
 */
export class CuttingProxy {
  counting = false;
  readonly seen: Seen[] = [];
  cut = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #letThrough: (number: number, message: Seen) => boolean;
  readonly #how: Cut;
  /** Those that are alone cut off; all of them, if the others are. */
  readonly #silent = new Set<Socket>();

  private constructor(
    server: Server,
    letThrough: (number: number, message: Seen) => boolean,
    how: Cut,
  ) {
    this.#server = server;
    this.#letThrough = letThrough;
    this.#how = how;
  }

  static async open(
    targetUri: string,
    letThrough: (number: number, message: Seen) => boolean,
    how: Cut = {},
  ): Promise<{ proxy: CuttingProxy; uri: string }> {
    const target = Number(targetUri.split(':').at(-1));
    const server = createServer({ allowHalfOpen: true });
    const proxy = new CuttingProxy(server, letThrough, how);
    server.on('connection', (socket) => proxy.#join(socket, target));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { proxy, uri: `tcp:127.0.0.1:${(server.address() as { port: number }).port}` };
  }

  /** Resolves when nothing of it is left. */
  async close(): Promise<void> {
    const gone = [...this.#sockets]
      .filter(({ closed }) => !closed)
      .map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([new Promise((resolve) => this.#server.close(resolve)), ...gone]);
  }

  #join(near: Socket, port: number): void {
    const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let on: Seen['on'] | undefined;
    let measure: Measure = (bytes) => {
      if (bytes.length < 64) return undefined;
      if (bytes.toString('latin1', 0, 4) === 'QEVM') {
        on = 'main';
        measure = mainMessages();
        return measure(bytes);
      }
      on = bytes[24]!;
      measure = packets;
      return { length: 64, what: 'initial packet' };
    };
    this.#forward(
      near,
      far,
      (bytes) => measure(bytes),
      () => on!,
    );
    this.#forward(far, near, returnMessages, () => 'back');
  }

  #forward(from: Socket, to: Socket, measure: Measure, on: () => Seen['on']): void {
    this.#sockets.add(from);
    from.on('error', () => {});
    from.setNoDelay(true);
    let waiting = Buffer.alloc(0);
    from.on('data', (data: Buffer) => {
      waiting = Buffer.concat([waiting, data]);
      for (;;) {
        const message = measure(waiting);
        if (message === undefined || waiting.length < message.length) return;
        if (
          !this.#pass(
            { on: on(), what: message.what },
            from,
            to,
            waiting.subarray(0, message.length),
          )
        )
          return;
        waiting = waiting.subarray(message.length);
      }
    });
    from.on('end', () => {
      // A connection that ends before it has said what it is has passed nothing on.
      if (on() === undefined) return void to.end(waiting);
      if (this.#silent.has(from)) return;
      if (waiting.length > 0) to.write(waiting);
      if (this.#pass({ on: on(), what: 'end' }, from, to, Buffer.alloc(0))) to.end();
    });
    // Who resets at one side is reset at the other: a connection that is gone without an end is no
    // end.
    from.on('close', (broken: boolean) => {
      if (broken && !this.#silent.has(from)) to.destroy();
    });
  }

  #pass(message: Seen, from: Socket, to: Socket, bytes: Buffer): boolean {
    if (this.#silent.has(from)) return false;
    if (this.counting && !this.cut) {
      this.seen.push(message);
      if (!this.#letThrough(this.seen.length - 1, message)) {
        this.cut = true;
        if (this.#how.inside) to.write(bytes.subarray(0, bytes.length >> 1));
        for (const socket of this.#how.alone ? [from, to] : this.#sockets) this.#end(socket);
        return false;
      }
    }
    to.write(bytes);
    return true;
  }

  #end(socket: Socket): void {
    this.#silent.add(socket);
    // Node never closes a socket that is reset after its end() was called.
    if (this.#how.how === 'reset' && !socket.writableEnded) socket.resetAndDestroy();
    else if (this.#how.how !== 'stall') socket.destroySoon();
  }
}

/** RAM and DEVICE_STATE packets, without compression. */
const packets: Measure = (bytes) => {
  if (bytes.length < 276) return undefined;
  const flags = bytes.readUInt32BE(8);
  if ((flags & 0x40) !== 0) return { length: 276 + bytes.readUInt32BE(272), what: 'device state' };
  return {
    length: RAM_HEADER + bytes.readUInt32BE(16) * PAGE,
    what: (flags & 1) !== 0 ? 'SYNC' : 'pages',
  };
};

const returnMessages: Measure = (bytes) => {
  if (bytes.length < 4) return undefined;
  return { length: 4 + bytes.readUInt16BE(2), what: bytes.readUInt16BE(0) === 1 ? 'SHUT' : 'PONG' };
};

/**
 * The main stream of a source of this project: all up to the block list in one, then section
 * headers, words, and footers.
 */
function mainMessages(): Measure {
  let started = false;
  return (bytes) => {
    if (!started) {
      // The START section's first FLUSH word ends what is not told apart here.
      const flush = bytes.indexOf(Buffer.from([0, 0, 0, 0, 0, 0, 2, 0]));
      if (flush < 0) return undefined;
      started = true;
      return { length: flush + 8, what: 'beginning' };
    }
    if (bytes.length === 0) return undefined;
    const kinds: Record<number, string> = { 2: 'PART', 3: 'END', 0x7e: 'footer' };
    const kind = kinds[bytes[0]!];
    if (kind !== undefined) return { length: 5, what: kind };
    if (bytes.length >= 8 && bytes.readUInt32BE(0) === 0)
      return { length: 8, what: bytes.readUInt32BE(4) === 0x200 ? 'FLUSH' : 'EOS' };
    return bytes.length < 8 && bytes[0] === 0 ? { length: 1, what: 'EOF' } : undefined;
  };
}
