import { createServer, type Server, type Socket } from 'node:net';
import { returnMessage } from '../../src/stream/index.ts';

const PAGE = 4096;

/** How a {@link PostcopyTarget} behaves. */
export interface PostcopyTargetOptions {
  /** Pages that it asks for once it runs, and one more for each that comes. */
  ask?: ReadonlyArray<{ block: string; page: number }>;
  /** After so many messages it breaks the connection off (never). */
  cutAfter?: number;
  /** What it sends back when it runs, besides. */
  say?: Uint8Array;
}

/**
 * A target of postcopy that is no QEMU: it follows a stream without multifd word by word, keeps the
 * pages, and notes what came when. One that was cut off takes a `--resume`.
 */
export class PostcopyTarget {
  readonly memory = new Map<string, Uint8Array>();
  /** Pages in the order in which they came, by `block:page`. */
  readonly came: string[] = [];
  /** Messages so far, in words. */
  readonly messages: string[] = [];
  /** Whether the devices came, and what they were. */
  devices: Uint8Array | undefined;
  cut = false;
  completed = false;
  readonly #server: Server;
  #options: PostcopyTargetOptions;
  #lastBlock: string | undefined;
  #asked = 0;
  #failure: unknown;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, options: PostcopyTargetOptions) {
    this.#server = server;
    this.#options = options;
  }

  static async open(options: PostcopyTargetOptions = {}): Promise<PostcopyTarget> {
    const server = createServer({ allowHalfOpen: true });
    const target = new PostcopyTarget(server, options);
    server.on('connection', (socket) => void target.#serve(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return target;
  }

  get uri(): string {
    return `tcp:127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** From the next connection on. */
  set options(options: PostcopyTargetOptions) {
    this.#options = options;
    this.cut = false;
  }

  /** Ends all connections, as a network that fails does. */
  breakOff(): void {
    this.cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** @throws what it did not understand. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #serve(socket: Socket): Promise<void> {
    socket.on('error', () => {});
    this.#sockets.add(socket);
    const reader = new SocketReader(socket);
    try {
      await this.#follow(socket, reader);
    } catch (thrown) {
      if (!this.cut && thrown !== ENDED) this.#failure = thrown;
      socket.destroy();
    }
  }

  async #follow(socket: Socket, reader: SocketReader): Promise<void> {
    const note = (what: string): void => {
      this.messages.push(what);
      if (this.messages.length !== this.#options.cutAfter) return;
      this.cut = true;
      throw new Error('cut');
    };
    this.#lastBlock = undefined;
    let first = true;
    for (;;) {
      const kind = await reader.u8();
      if (first && kind === 0x51) await reader.take(7);
      else if (kind === 0x07) await reader.take(await reader.u32());
      else if (kind === 0x08) {
        const command = await reader.u16();
        const data = await reader.take(await reader.u16());
        await this.#command(socket, reader, command, data);
        note(`command ${command}`);
      } else if (kind === 0x01) {
        await reader.take(4 + 4 + 8);
        await this.#words(reader, note);
      } else if (kind === 0x02 || kind === 0x03) {
        await reader.take(4);
        await this.#words(reader, note, () => this.#ask(socket));
        note(kind === 0x02 ? 'part' : 'end');
      } else if (kind === 0x00) {
        this.completed = true;
        socket.end(returnMessage({ type: 'shut', status: 0 }));
        return;
      } else throw new Error(`a section of type ${kind}`);
      first = false;
    }
  }

  async #command(
    socket: Socket,
    reader: SocketReader,
    command: number,
    data: Buffer,
  ): Promise<void> {
    if (command === 2) socket.write(returnMessage({ type: 'pong', value: data.readUInt32BE(0) }));
    if (command === 7) {
      const devices = await reader.take(data.readUInt32BE(0));
      this.devices = devices;
      socket.write(returnMessage({ type: 'pong', value: 3 }));
      if (this.#options.say !== undefined) socket.write(this.#options.say);
      for (let n = 0; n < 3; n++) this.#ask(socket);
    }
    if (command === 10) {
      const block = data.toString('utf8', 1);
      socket.write(returnMessage({ type: 'received-bitmap', block, bitmap: this.#bitmap(block) }));
    }
    if (command === 9) {
      socket.write(returnMessage({ type: 'resume-ack' }));
      for (let n = 0; n < 3; n++) this.#ask(socket);
    }
  }

  #bitmap(block: string): Uint8Array {
    const pages = this.memory.get(block)!.length / PAGE;
    const bitmap = new Uint8Array(Math.ceil(pages / 64) * 8);
    for (const name of this.came) {
      const [id, page] = name.split(':');
      if (id === block) bitmap[Number(page) >> 3]! |= 1 << (Number(page) & 7);
    }
    return bitmap;
  }

  #ask(socket: Socket): void {
    const wanted = this.#options.ask?.[this.#asked++];
    if (wanted === undefined) return;
    const { block, page } = wanted;
    socket.write(returnMessage({ type: 'request-pages', block, start: page * PAGE, length: PAGE }));
  }

  async #words(
    reader: SocketReader,
    note: (what: string) => void,
    onPage = (): void => {},
  ): Promise<void> {
    for (;;) {
      const word = await reader.u64();
      const flags = Number(word & 0xfffn);
      const offset = Number(word & ~0xfffn);
      if ((flags & 0x010) !== 0) break;
      if ((flags & 0x004) !== 0) {
        for (let left = offset; left > 0; ) {
          const id = (await reader.take(await reader.u8())).toString();
          const length = Number(await reader.u64());
          this.memory.set(id, new Uint8Array(length));
          left -= length;
        }
        continue;
      }
      if ((flags & ~(0x002 | 0x008 | 0x020)) !== 0) throw new Error(`a word with flags ${flags}`);
      if ((flags & 0x020) === 0)
        this.#lastBlock = (await reader.take(await reader.u8())).toString();
      const block = this.#lastBlock!;
      if ((flags & 0x008) !== 0) this.memory.get(block)!.set(await reader.take(PAGE), offset);
      else await reader.take(1);
      this.came.push(`${block}:${offset / PAGE}`);
      note('page');
      onPage();
    }
    if ((await reader.u8()) !== 0x7e) throw new Error('no footer');
    await reader.take(4);
  }
}

const ENDED = new Error('the source ended its stream');

class SocketReader {
  #waiting = Buffer.alloc(0);
  #over = false;
  #wake = (): void => {};

  constructor(socket: Socket) {
    socket.on('data', (data: Buffer) => {
      this.#waiting = Buffer.concat([this.#waiting, data]);
      this.#wake();
    });
    for (const event of ['end', 'close'])
      socket.on(event, () => {
        this.#over = true;
        this.#wake();
      });
  }

  async take(bytes: number): Promise<Buffer> {
    while (this.#waiting.length < bytes) {
      if (this.#over) throw ENDED;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#waiting.subarray(0, bytes);
    this.#waiting = this.#waiting.subarray(bytes);
    return taken;
  }

  async u8(): Promise<number> {
    return (await this.take(1))[0]!;
  }

  async u16(): Promise<number> {
    return (await this.take(2)).readUInt16BE(0);
  }

  async u32(): Promise<number> {
    return (await this.take(4)).readUInt32BE(0);
  }

  async u64(): Promise<bigint> {
    return (await this.take(8)).readBigUInt64BE(0);
  }
}
