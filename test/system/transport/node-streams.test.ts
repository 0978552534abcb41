import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type Duplex, duplexPair, PassThrough, Readable } from 'node:stream';
import { type ConnectionLike, ConnectionQueue, receive, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { errorOf, LAUNCHERS, leavingNothing } from '../../support/migration.ts';
import {
  codesOf,
  content,
  expectWhole,
  intoQueue,
  type MakeEnds,
  move,
  streamPairs,
} from '../../support/transport.ts';

/** How two ends come about, and what is closed after all. */
interface Kind {
  ends: MakeEnds;
  close(): Promise<void>;
}

/** So that each connection gets its own other end. */
function oneAtATime(open: MakeEnds): MakeEnds {
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const made = last.then(open);
    last = made;
    return made;
  };
}

const inMemory = (ends: () => [ConnectionLike, ConnectionLike]): (() => Promise<Kind>) => {
  return async () => ({ ends: async () => ends(), close: async () => {} });
};

/** The sockets of a server that is as it is by default: an end that comes would be answered. */
async function sockets(): Promise<Kind> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    ends: oneAtATime(async () => {
      const near = connect(port, '127.0.0.1');
      const [far] = (await once(server, 'connection')) as [Socket];
      return [near, far];
    }),
    close: async () => void server.close(),
  };
}

/** Streams of one HTTP/2 session. */
async function http2(): Promise<Kind> {
  const server = createHttp2().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return {
    ends: oneAtATime(async () => {
      const near = session.request({ ':method': 'POST' }, { endStream: false });
      const [far] = (await once(server, 'stream')) as [Duplex & { respond(): void }];
      far.respond();
      return [near, far];
    }),
    async close() {
      session.close();
      await once(session, 'close');
      server.close();
    },
  };
}

/** Of these, in Node 20, neither end hears that the other was destroyed. */
const DEAF = 'a pair of Duplex streams';
const KINDS: Record<string, () => Promise<Kind>> = {
  [DEAF]: inMemory(() => duplexPair()),
  'Readable and Writable streams': inMemory(() => {
    const [there, back] = [new PassThrough(), new PassThrough()];
    return [
      { readable: back, writable: there },
      { readable: there, writable: back },
    ];
  }),
  'streams of both kinds': inMemory(() => {
    const there = new PassThrough();
    const back = new TransformStream<Uint8Array, Uint8Array>();
    return [
      { readable: back.readable, writable: there },
      { readable: there, writable: back.writable },
    ];
  }),
  "sockets of a caller's server": sockets,
  'streams of an HTTP/2 session': http2,
};

describe.each(Object.entries(KINDS))('a migration over %s', (_, open) => {
  it.each(LAUNCHERS)('comes whole, $name', async ({ inline }) => {
    await leavingNothing(async () => {
      const { ends, close } = await open();
      const inbox = new ConnectionQueue();
      const source = { connect: intoQueue(ends, inbox) };
      for (const compression of ['none', 'zlib'] as const)
        expectWhole(await move({ source, target: { inbox } }, { inline, compression }));
      await close();
    });
  });
});

it.each(Object.entries(KINDS).filter(([kind]) => kind !== DEAF))(
  'a migration over %s that is cancelled leaves nothing',
  async (_, open) => {
    await leavingNothing(async () => {
      const { ends, close } = await open();
      const inbox = new ConnectionQueue();
      const cancel = new AbortController();
      const moved = await move(
        { source: { connect: intoQueue(ends, inbox) }, target: { inbox } },
        {
          source: { maxBandwidth: 4096, signal: cancel.signal },
          target: { onProgress: ({ ram }) => void (ram.transferred > 0 && cancel.abort()) },
        },
      );
      expect(codesOf(moved)).toEqual(['ERR_CANCELLED', 'ERR_PEER_CLOSED']);
      await close();
    });
  },
);

const BLOCKS = [{ id: 'ram', source: content(1 << 20) }];

/** Connects its standard input and output. */
const PROGRAM = `
  const socket = require('node:net').connect({ port: +process.argv[1], allowHalfOpen: true });
  process.stdin.pipe(socket);
  socket.pipe(process.stdout);`;

it('a migration over the standard input and output of child processes', async () => {
  await leavingNothing(async () => {
    const [source, memory] = [content(1 << 20), new Uint8Array(1 << 20)];
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { ram: memory } });
    const ended: Promise<unknown>[] = [];
    await send({
      connect() {
        const port = new URL(incoming.uri.replace('tcp:', 'tcp://')).port;
        const stdio = ['pipe', 'pipe', 'inherit'] as const;
        const child = spawn(process.execPath, ['-e', PROGRAM, port], { stdio: [...stdio] });
        ended.push(once(child, 'close'));
        return { readable: child.stdout!, writable: child.stdin! };
      },
      blocks: [{ id: 'ram', source }],
    });
    expect(await incoming.completed).toMatchObject({ confirmed: true });
    expect(Buffer.compare(source, memory)).toBe(0);
    await Promise.all(ended);
  });
});

describe('a stream that is no connection', () => {
  const refused: [string, () => unknown][] = [
    ['that others read', () => new PassThrough().on('data', () => {})],
    ['that can only be read', () => Readable.from([])],
    [
      'in a pair with one that is taken',
      () => {
        const [{ writable }] = streamPairs();
        writable.getWriter();
        return { readable: new PassThrough(), writable };
      },
    ],
  ];

  it.each(refused)('%s is refused, and stays as it is', async (_, make) => {
    const given = make();
    const error = await errorOf(new ConnectionQueue().add(given as ConnectionLike));
    expect(error.code).toBe('ERR_OPTION');
    expect(error.message).toContain("a Duplex of Node's");
    const { readable = given } = given as { readable?: Readable };
    if (readable instanceof PassThrough && readable.listenerCount('data') === 0)
      expect(readable.readableFlowing).toBe(null);
  });

  it.each([
    ['has ended', async (stream: PassThrough) => void (await once(stream.end().resume(), 'end'))],
    ['was destroyed', async (stream: PassThrough) => void stream.destroy()],
  ])('for it %s fails a migration at once', async (_, end) => {
    const stream = new PassThrough();
    await end(stream);
    stream.pause();
    const sending = send({ connect: () => stream, blocks: BLOCKS, timeout: 60_000 });
    expect((await errorOf(sending)).code).toBe('ERR_PEER_CLOSED');
  });

  it.each<[string, () => ReadableStream | Readable]>([
    ['of text', () => new PassThrough().setEncoding('utf8').end('QEVM and more')],
    [
      "of text, WHATWG's",
      () =>
        new ReadableStream({
          start(controller) {
            controller.enqueue('QEVM and more');
            controller.close();
          },
        }),
    ],
  ])('%s fails a migration by its name', async (_, text) => {
    const inbox = new ConnectionQueue();
    const incoming = await receive({ inbox, blocks: {}, inline: true, timeout: 500 });
    const connection = { readable: text(), writable: new PassThrough() };
    await send({ connect: () => connection, blocks: BLOCKS, inline: true }).then(
      () => expect.unreachable(),
      ({ code, message }) => {
        expect(code).toBe('ERR_OPTION');
        expect(message).toContain('a stream gave "QEVM and more": give streams of bytes');
      },
    );
    await incoming.close();
  });
});
