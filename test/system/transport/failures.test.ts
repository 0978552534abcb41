import { createServer } from 'node:http';
import {
  type AddressInfo,
  connect,
  createServer as createNetServer,
  type Server,
  type Socket,
} from 'node:net';
import { ConnectionQueue, type OutgoingOptions, receive, send, type StreamPair } from 'multifd';
import { describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { errorOf, LAUNCHERS, leavingNothing } from '../../support/migration.ts';
import { start, temporaryFolder } from '../../support/command.ts';
import {
  concat,
  header,
  initialPacket,
  openReturnPath,
  start as startRecord,
} from '../../support/wire.ts';
import {
  codesOf,
  content,
  move,
  portOf,
  Relay,
  streamPairs,
  type Endpoints,
} from '../../support/transport.ts';

const URIS = ['tcp:127.0.0.1:0', 'ws://127.0.0.1:0/', 'http://127.0.0.1:0/'];
const BLOCKS = [{ id: 'ram', source: content(1 << 20) }];

/** Whoever listens. */
const endpointsOf = (uri: string): Endpoints[] => [
  { source: { uri: '' }, target: { uri } },
  { source: { uri, listen: true, token: 'secret' }, target: { connect: true, token: 'secret' } },
];

describe.each(LAUNCHERS)('both ends hear of it, $name', ({ inline }) => {
  it.each(URIS)('%s: when the source is cancelled before, or in the middle', async (uri) => {
    for (const ends of endpointsOf(uri)) {
      await leavingNothing(async () => {
        const cancel = new AbortController();
        const moved = await move(ends, {
          inline,
          source: { maxBandwidth: 4096, signal: cancel.signal },
          target: { onProgress: ({ ram }) => void (ram.transferred > 0 && cancel.abort()) },
        });
        expect(codesOf(moved)).toEqual(['ERR_CANCELLED', 'ERR_PEER_CLOSED']);
      });
    }
    await leavingNothing(async () =>
      expect(
        codesOf(
          await move(endpointsOf(uri)[0]!, {
            inline,
            giveUp: true,
            source: { signal: AbortSignal.abort() },
          }),
        ),
      ).toEqual(['ERR_CANCELLED', 'ERR_CANCELLED']),
    );
  });

  it.each(URIS)('%s: when the target is cancelled in the middle', async (uri) => {
    for (const ends of endpointsOf(uri)) {
      await leavingNothing(async () => {
        const cancel = new AbortController();
        const moved = await move(ends, {
          inline,
          source: { maxBandwidth: 4096 },
          target: {
            signal: cancel.signal,
            onProgress: ({ ram }) => void (ram.transferred > 0 && cancel.abort()),
          },
        });
        expect(codesOf(moved)).toEqual(['ERR_REMOTE', 'ERR_CANCELLED']);
      });
    }
  });

  it.each(URIS)('%s: when the connections are cut', async (uri) => {
    await leavingNothing(async () => {
      const incoming = await receive({
        uri,
        blocks: { ram: content(1 << 20) },
        inline,
        timeout: 20_000,
      });
      const relay = await Relay.open(portOf(incoming.uri), 300_000);
      const sending = send({
        uri: incoming.uri.replace(`:${portOf(incoming.uri)}`, `:${relay.port}`),
        blocks: BLOCKS,
        inline,
        timeout: 20_000,
      });
      expect([(await errorOf(sending)).code, (await errorOf(incoming.completed)).code]).toEqual([
        'ERR_PEER_CLOSED',
        'ERR_PEER_CLOSED',
      ]);
      relay.close();
    });
  });

  it.each(URIS)('%s: the source, when the process of the target is killed', async (uri) => {
    const image = `${await temporaryFolder()}/image`;
    await leavingNothing(async () => {
      const receiver = start('receive', uri, image, '--json');
      const { uri: at } = (await receiver.event('listening')) as unknown as { uri: string };
      const sending = errorOf(send({ uri: at, blocks: BLOCKS, inline, maxBandwidth: 4096 }));
      await receiver.event('progress');
      receiver.child.kill('SIGKILL');
      expect((await sending).code).toBe('ERR_PEER_CLOSED');
      await receiver.ended;
    });
  });

  it.each(['tcp', 'ws', 'http'] as const)(
    '%s: the source, when the target never reads: after its time-out, and when it is cancelled',
    async (kind) => {
      const large = [{ id: 'ram', source: content(64 << 20) }];
      await leavingNothing(async () => {
        const deaf = await deafTarget(kind);
        const options = {
          uri: deaf.uri,
          blocks: large,
          inline,
          zeroPageDetection: 'none' as const,
        };
        expect(await errorOf(send({ ...options, timeout: 500 }))).toMatchObject({
          code: 'ERR_TIMEOUT',
        });
        const cancel = new AbortController();
        let before = -1;
        // Nothing moves any more: everything that could take bytes is full.
        const onProgress: OutgoingOptions['onProgress'] = ({ ram }) => {
          if (ram.transferred === before) cancel.abort();
          before = ram.transferred;
        };
        expect(
          await errorOf(send({ ...options, signal: cancel.signal, onProgress })),
        ).toMatchObject({ code: 'ERR_CANCELLED' });
        deaf.close();
      });
    },
  );

  it.each(URIS)(
    '%s: a source that listens, when its target connects fewer times than it has channels: ' +
      'after the time-out, with what to set',
    async (uri) => {
      await leavingNothing(async () => {
        // One that listens for requests has to have one.
        const token = 'secret';
        let at = (_: string): void => {};
        const where = new Promise<string>((resolve) => {
          at = resolve;
        });
        const sending = errorOf(
          send({
            uri,
            listen: true,
            token,
            onListening: (given) => at(given),
            blocks: BLOCKS,
            inline,
            channels: 3,
            timeout: 2_000,
          }),
        );
        const incoming = await receive({
          uri: await where,
          connect: true,
          token,
          blocks: { ram: content(1 << 20) },
          inline,
          channels: 1,
          timeout: 20_000,
        });
        const error = await sending;
        expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
        expect(error.message).toContain('set the same number at both ends');
        expect((await errorOf(incoming.completed)).code).toBe('ERR_PEER_CLOSED');
      });
    },
  );

  it(
    'streams of the caller: a source whose target never reads, and one whose connect never ' +
      'answers, are cancelled at once',
    async () => {
      await leavingNothing(async () => {
        for (const own of [() => streamPairs()[0], () => new Promise<StreamPair>(() => {})]) {
          const cancel = new AbortController();
          const sending = errorOf(
            send({ connect: own, blocks: BLOCKS, inline, signal: cancel.signal }),
          );
          setImmediate(() => cancel.abort());
          expect(await sending).toMatchObject({ code: 'ERR_CANCELLED' });
        }
        expect(
          await errorOf(
            send({
              connect: () => new Promise<StreamPair>(() => {}),
              blocks: BLOCKS,
              inline,
              timeout: 50,
            }),
          ),
        ).toMatchObject({ code: 'ERR_TIMEOUT', channel: 'main' });
        expect(
          await errorOf(
            send({ connect: () => Promise.reject(new Error('no line')), blocks: BLOCKS, inline }),
          ),
        ).toMatchObject({ code: 'ERR_CONNECT' });
        expect(
          await errorOf(send({ connect: () => 'tcp:' as never, blocks: BLOCKS, inline })),
        ).toMatchObject({ code: 'ERR_OPTION' });
      });
    },
  );

  it('MessagePorts: when the source is cancelled, and when the thread of the other end is gone', async () => {
    await leavingNothing(async () => {
      const inbox = new ConnectionQueue();
      const cancel = new AbortController();
      const ports: MessagePort[] = [];
      const connectPort = async (): Promise<MessagePort> => {
        const { port1, port2 } = new MessageChannel();
        ports.push(port2);
        await inbox.add(port2);
        return port1;
      };
      const ends = { source: { connect: connectPort }, target: { inbox } };
      const source = { maxBandwidth: 4096, signal: cancel.signal };
      expect(
        codesOf(
          await move(ends, {
            inline,
            source,
            target: { onProgress: ({ ram }) => void (ram.transferred > 0 && cancel.abort()) },
          }),
        ),
      ).toEqual(['ERR_CANCELLED', 'ERR_PEER_CLOSED']);

      ports.length = 0;
      const vanish = (): void => {
        for (const port of ports.splice(0)) port.close(); // as the end of its thread does
      };
      const gone = await move(ends, {
        inline,
        source: { maxBandwidth: 4096 },
        target: { onProgress: ({ ram }) => void (ram.transferred > 0 && vanish()) },
      });
      expect(codesOf(gone)).toEqual(['ERR_PEER_CLOSED', 'ERR_PEER_CLOSED']);
    });
  });
});

describe('a target over WebSockets', () => {
  const MAIN = concat(
    header(),
    openReturnPath(),
    startRecord([{ id: 'ram', length: 1 << 20 }]).subarray(0, 20),
  );

  it.each<[string, (socket: WebSocket) => void, RegExp]>([
    ['sends text', (socket) => socket.send('hello'), /it sends text/],
    [
      'sends a message over the limit',
      (socket) => socket.send(new Uint8Array((1 << 20) + 1)),
      /Max payload size exceeded/,
    ],
    [
      'says goodbye with an error',
      (socket) => socket.close(1011, 'out of order'),
      /closed \(1011 out of order\)/,
    ],
    ['says goodbye in good order', (socket) => socket.close(1000), /closed \(1000\)/],
    [
      'ends its half',
      (socket) => socket.send(new Uint8Array(0)),
      /in the middle|closed the connection|ended/,
    ],
    ['breaks off', (socket) => socket.terminate(), /closed \(1006\)/],
  ])('fails when its main channel %s', async (_, act, why) => {
    await leavingNothing(async () => {
      const incoming = await receive({
        uri: 'ws://127.0.0.1:0/',
        blocks: { ram: content(1 << 20) },
        inline: true,
      });
      const socket = new WebSocket(incoming.uri);
      socket.on('error', () => {});
      socket.once('open', () => {
        socket.send(MAIN);
        act(socket);
      });
      const closed = new Promise((resolve) => void socket.once('close', resolve));
      const error = await errorOf(incoming.completed);
      expect(error.code).toBe('ERR_PEER_CLOSED');
      expect(error.message).toMatch(why);
      await closed;
    });
  });

  it('gives up a WebSocket that can not be told to wait once 64 MiB of it have not been read', async () => {
    const inbox = new ConnectionQueue();
    const cancel = new AbortController();
    const incoming = await receive({
      inbox,
      blocks: { ram: content(1 << 20) },
      inline: true,
      signal: cancel.signal,
    });
    const socket = new PushySocket();
    await inbox.add(socket as unknown as globalThis.WebSocket);
    socket.say(initialPacket(0));
    let taken = 0;
    // The main channel does not come, so that nobody reads the channel on.
    for (const message = new Uint8Array(1 << 20); !socket.closed && taken < 100; taken++)
      socket.say(message);
    expect(taken).toBe(65); // the first may have gone with the initial packet
    cancel.abort();
    expect(await errorOf(incoming.completed)).toMatchObject({ code: 'ERR_CANCELLED' });
  });
});

describe('a target over HTTP', () => {
  const body = concat(header(), openReturnPath());
  const head = (more: string): string => `POST / HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
  const chunk = `${body.length.toString(16)}\r\n${Buffer.from(body).toString('latin1')}\r\n`;

  it.each<[string, string, boolean]>([
    [
      'ends in the middle of a chunk',
      head('Transfer-Encoding: chunked\r\n') + chunk.slice(0, -10),
      true,
    ],
    ['breaks off between two chunks', head('Transfer-Encoding: chunked\r\n') + chunk, true],
    [
      'ends before the stream does',
      `${head('Transfer-Encoding: chunked\r\n') + chunk}0\r\n\r\n`,
      false,
    ],
    [
      'is shorter than the stream by its Content-Length',
      head(`Content-Length: ${body.length}\r\n`) + Buffer.from(body).toString('latin1'),
      false,
    ],
    [
      'is shorter than its Content-Length',
      head(`Content-Length: ${body.length + 9}\r\n`) + Buffer.from(body).toString('latin1'),
      true,
    ],
    ['has a chunk that is none', `${head('Transfer-Encoding: chunked\r\n') + chunk}zz\r\n`, false],
  ])('fails when the body of its main channel %s', async (_, text, breaksOff) => {
    await leavingNothing(async () => {
      const incoming = await receive({
        uri: 'http://127.0.0.1:0/',
        blocks: { ram: content(1 << 20) },
        inline: true,
      });
      const socket = connect(portOf(incoming.uri), '127.0.0.1');
      socket.on('error', () => {}).resume();
      const closed = new Promise((resolve) => void socket.once('close', resolve));
      socket.write(text, 'latin1');
      // Once the answer is there, the body is being read.
      socket.once('data', () => void (breaksOff && socket.destroy()));
      expect(await errorOf(incoming.completed)).toMatchObject({
        code: 'ERR_PEER_CLOSED',
        channel: 'main',
      });
      await closed;
    });
  });
});

/** Accepts any number of connections, whatever carries them, and reads none of them. */
async function deafTarget(kind: 'tcp' | 'ws' | 'http'): Promise<{ uri: string; close(): void }> {
  const sockets = new Set<Socket>();
  let server: Server;
  if (kind === 'tcp') server = createNetServer({ pauseOnConnect: true });
  else {
    const web = createServer((_, response) => response.writeHead(200).flushHeaders());
    if (kind === 'ws')
      new WebSocketServer({ server: web }).on('connection', (socket) => socket.pause());
    server = web;
  }
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    uri: kind === 'tcp' ? `tcp:127.0.0.1:${port}` : `${kind}://127.0.0.1:${port}/`,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** A WebSocket of a runtime that has no way to make it wait. */
class PushySocket extends EventTarget {
  binaryType = 'blob';
  readyState = 1;
  closed = false;

  say(bytes: Uint8Array): void {
    this.dispatchEvent(new MessageEvent('message', { data: Uint8Array.from(bytes).buffer }));
  }

  send(): void {}

  close(): void {
    this.closed = true;
  }
}
