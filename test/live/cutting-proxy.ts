import { connect, createServer, type Server, type Socket } from 'node:net';

/** A message of a migration, as the proxy sees it go by. */
export interface Seen {
  /** `main`, the number of a channel, or `back` for the return path. */
  on: 'main' | 'back' | number;
  what: string;
}

const RAM_HEADER = 1344;
const PAGE = 4096;

/** Tells a stream's messages apart. Gives the length of the message at the start of `bytes`, once that can be told. */
type Measure = (bytes: Buffer) => { length: number; what: string } | undefined;

/**
 * Stands between a source and a target, and lets messages through one by one. Once {@link counting}, `letThrough` is asked before each: when it says no, all
 * connections are cut, `cutInside` bytes into that message.
 */
export class CuttingProxy {
  counting = false;
  readonly seen: Seen[] = [];
  cut = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #letThrough: (number: number, message: Seen) => boolean;
  readonly #inside: boolean;

  private constructor(server: Server, letThrough: (number: number, message: Seen) => boolean, inside: boolean) {
    this.#server = server;
    this.#letThrough = letThrough;
    this.#inside = inside;
  }

  /** @param inside cut in the middle of the message, not before it. */
  static async open(targetUri: string, letThrough: (number: number, message: Seen) => boolean, inside = false): Promise<{ proxy: CuttingProxy; uri: string }> {
    const target = Number(targetUri.split(':').at(-1));
    const server = createServer({ allowHalfOpen: true });
    const proxy = new CuttingProxy(server, letThrough, inside);
    server.on('connection', (socket) => proxy.#join(socket, target));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { proxy, uri: `tcp:127.0.0.1:${(server.address() as { port: number }).port}` };
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
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
    this.#forward(near, far, (bytes) => measure(bytes), () => on!);
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
        if (!this.#pass({ on: on(), what: message.what }, to, waiting.subarray(0, message.length))) return;
        waiting = waiting.subarray(message.length);
      }
    });
    from.on('end', () => {
      if (waiting.length > 0) to.write(waiting);
      if (this.#pass({ on: on(), what: 'end' }, to, Buffer.alloc(0))) to.end();
    });
  }

  #pass(message: Seen, to: Socket, bytes: Buffer): boolean {
    if (this.cut) return false;
    if (this.counting) {
      this.seen.push(message);
      if (!this.#letThrough(this.seen.length - 1, message)) {
        this.cut = true;
        if (this.#inside) to.write(bytes.subarray(0, bytes.length >> 1));
        for (const socket of this.#sockets) socket.destroySoon();
        return false;
      }
    }
    to.write(bytes);
    return true;
  }
}

/** RAM and DEVICE_STATE packets, without compression. */
const packets: Measure = (bytes) => {
  if (bytes.length < 276) return undefined;
  const flags = bytes.readUInt32BE(8);
  if ((flags & 0x40) !== 0) return { length: 276 + bytes.readUInt32BE(272), what: 'device state' };
  return { length: RAM_HEADER + bytes.readUInt32BE(16) * PAGE, what: (flags & 1) !== 0 ? 'SYNC' : 'pages' };
};

const returnMessages: Measure = (bytes) => {
  if (bytes.length < 4) return undefined;
  return { length: 4 + bytes.readUInt16BE(2), what: bytes.readUInt16BE(0) === 1 ? 'SHUT' : 'PONG' };
};

/** The main stream of a source of this project: all up to the block list in one, then section headers, words, and footers. */
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
    if (bytes.length >= 8 && bytes.readUInt32BE(0) === 0) return { length: 8, what: bytes.readUInt32BE(4) === 0x200 ? 'FLUSH' : 'EOS' };
    return bytes.length < 8 && bytes[0] === 0 ? { length: 1, what: 'EOF' } : undefined;
  };
}
