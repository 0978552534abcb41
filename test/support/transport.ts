import { createServer, type Server } from 'node:http';
import {
  type AddressInfo,
  connect,
  createServer as createNetServer,
  type Server as NetServer,
  type Socket,
} from 'node:net';
import {
  type Compression,
  type ConnectionLike,
  type ConnectionQueue,
  type IncomingOptions,
  type MigrationStatistics,
  type OutgoingOptions,
  receive,
  send,
  type StreamPair,
} from 'multifd';
import { expect } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { PAGE } from './migration.ts';
import { randomBytes } from './random.ts';

/** One end's options, for a connection or all of them. */
export interface Endpoints {
  source: Pick<OutgoingOptions, 'uri' | 'connect' | 'inbox' | 'listen' | 'token' | 'tls'>;
  target: Pick<IncomingOptions, 'uri' | 'connect' | 'inbox' | 'token' | 'tls' | 'maxConnections'>;
}

export type Connect = NonNullable<OutgoingOptions['connect']>;

/**
 * Two pairs of streams that are each other's ends, and hold no more than the chunk that is being
 * handed over.
 */
export function streamPairs(): [StreamPair, StreamPair] {
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  return [
    { readable: back.readable, writable: there.writable },
    { readable: there.readable, writable: back.writable },
  ];
}

/** Two ends of a connection in this process. */
export type MakeEnds = () => Promise<[ConnectionLike, ConnectionLike]>;

export const streamEnds: MakeEnds = async () => streamPairs();

export const portEnds: MakeEnds = async () => {
  const { port1, port2 } = new MessageChannel();
  return [port1, port2];
};

/** A server of a test's own, for WebSockets that are made by somebody else. */
export class SocketServer {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets: WebSocketServer;
  /** One at a time, so that each gets its own other end. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(server: Server, sockets: WebSocketServer) {
    this.#server = server;
    this.#sockets = sockets;
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }

  static async open(): Promise<SocketServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new SocketServer(server, new WebSocketServer({ server }));
  }

  /** The runtime's own WebSocket where it has one, and the server's end. */
  readonly ends: MakeEnds = () => {
    const made = this.#last.then(async (): Promise<[ConnectionLike, ConnectionLike]> => {
      const accepted = new Promise<WebSocket>(
        (resolve) => void this.#sockets.once('connection', resolve),
      );
      const Own = (globalThis.WebSocket ?? WebSocket) as typeof globalThis.WebSocket;
      const client = new Own(this.url);
      return [client, (await accepted) as unknown as globalThis.WebSocket];
    });
    this.#last = made;
    return made;
  };

  close(): void {
    this.#sockets.close();
    this.#server.close();
  }
}

/** A source's `connect` whose other ends go into the target's inbox. */
export function intoQueue(ends: MakeEnds, inbox: ConnectionQueue): Connect {
  return async () => {
    const [near, far] = await ends();
    await inbox.add(far);
    return near;
  };
}

export interface Moved {
  sent: PromiseSettledResult<MigrationStatistics>;
  received: PromiseSettledResult<MigrationStatistics>;
  from: Uint8Array;
  to: Uint8Array;
  rejected: string[];
}

export interface MoveOptions {
  inline?: boolean;
  compression?: Compression;
  channels?: number;
  timeout?: number;
  source?: Partial<OutgoingOptions>;
  target?: Partial<Omit<IncomingOptions, 'blocks'>>;
  /** Bytes to move. */
  length?: number;
  /**
   * Cancel the target once the source has failed (false): one that never hears of the source goes
   * on listening.
   */
  giveUp?: boolean;
}

/** Pages of zeros, of noise and of text. */
export function content(length: number): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(length));
  bytes.set(randomBytes('transport', length >> 1), length >> 2);
  Buffer.from(bytes.buffer).fill('a memory that compresses ', (length >> 2) * 3);
  return bytes;
}

/** Moves a block between two ends of this process. */
export async function move(
  ends: Endpoints,
  {
    inline = true,
    compression = 'none',
    channels = 2,
    timeout = 20_000,
    source = {},
    target = {},
    length = 1 << 20,
    giveUp = false,
  }: MoveOptions = {},
): Promise<Moved> {
  const from = content(length);
  const to = new Uint8Array(new SharedArrayBuffer(length));
  const rejected: string[] = [];
  const onRejected = (why: string): void => void rejected.push(why);
  const common = { inline, compression, channels, timeout, onRejected };
  const give = new AbortController();
  const blocks = [{ id: 'ram', source: from }];
  const { signal = give.signal } = target;
  const settled = async (
    sending: Promise<MigrationStatistics>,
    receiving: Promise<MigrationStatistics>,
  ): Promise<Moved> => {
    void sending.catch(() => giveUp && give.abort());
    const [sent, received] = await Promise.allSettled([sending, receiving]);
    return { sent, received, from, to, rejected };
  };
  if (ends.source.listen !== true) {
    const incoming = await receive({
      ...common,
      blocks: { ram: to },
      ...ends.target,
      ...target,
      signal,
    });
    const uri = ends.source.uri === undefined ? {} : { uri: ends.source.uri || incoming.uri };
    return settled(
      send({ ...common, blocks, ...ends.source, ...source, ...uri }),
      incoming.completed,
    );
  }
  let listening = (_: string): void => {};
  const where = new Promise<string>((resolve) => {
    listening = resolve;
  });
  const sending = send({ ...common, blocks, ...ends.source, ...source, onListening: listening });
  const receiving = where.then(
    async (uri) =>
      (await receive({ ...common, blocks: { ram: to }, ...ends.target, uri, ...target, signal }))
        .completed,
  );
  return settled(sending, receiving);
}

/** All came, and both ends say the same of it. */
export function expectWhole({ sent, received, from, to, rejected }: Moved): void {
  expect([reasonOf(sent), reasonOf(received), rejected]).toEqual([undefined, undefined, []]);
  if (sent.status !== 'fulfilled' || received.status !== 'fulfilled') return;
  expect(Buffer.compare(from, to)).toBe(0);
  const quarter = from.length / PAGE / 4;
  for (const { value } of [sent, received]) {
    expect(value.ram).toMatchObject({
      normal: 3 * quarter,
      duplicate: quarter,
      remaining: 0,
      'page-size': PAGE,
    });
  }
  expect(received.value.channels.map(({ bytes, normal }) => ({ bytes, normal }))).toEqual(
    sent.value.channels.map(({ bytes, normal }) => ({ bytes, normal })),
  );
}

/** The error of an end; what is no MultifdError would have no code. */
export function reasonOf(
  end: PromiseSettledResult<unknown>,
): { code: string; message: string } | undefined {
  return end.status === 'rejected' ? (end.reason as { code: string; message: string }) : undefined;
}

export function codesOf({ sent, received }: Moved): [string | undefined, string | undefined] {
  return [reasonOf(sent)?.code, reasonOf(received)?.code];
}

/**
 * Passes bytes on between a client and a server, and cuts all connections once so many have gone to
 * the server on one of them.
 */
export class Relay {
  readonly port: number;
  readonly #server: NetServer;
  readonly #sockets = new Set<Socket>();

  private constructor(server: NetServer) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async open(to: number, cutAfter: number): Promise<Relay> {
    const server = createNetServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const relay = new Relay(server);
    server.on('connection', (near: Socket) => {
      const far = connect(to, '127.0.0.1');
      let passed = 0;
      for (const socket of [near, far]) {
        relay.#sockets.add(socket);
        socket.on('error', () => {});
      }
      far.pipe(near);
      near.on('data', (bytes: Buffer) => {
        passed += bytes.length;
        far.write(bytes);
        if (passed >= cutAfter) relay.#cut();
      });
      near.on('end', () => far.end());
    });
    return relay;
  }

  close(): void {
    this.#server.close();
    this.#cut();
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** The port in a URI. */
export function portOf(uri: string): number {
  return Number(/:(\d+)(?:\/|$)/.exec(uri)![1]);
}

/** Resolves once a socket is closed, in whichever way. */
export function gone(socket: Socket): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise((resolve) => void socket.on('error', () => {}).once('close', () => resolve()));
}
