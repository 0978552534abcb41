import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { ConnectionQueue, proxy, type ProxyOptions, receive, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { errorOf, leavingNothing, withFolder } from '../../support/migration.ts';
import {
  content,
  expectWhole,
  gone,
  intoQueue,
  move,
  portOf,
  streamEnds,
  streamPairs,
} from '../../support/transport.ts';

const ENDED = 'it ended before it said anything';
const PLAIN = ['tcp:127.0.0.1:0', 'unix:'];
const BLOCKS = [{ id: 'ram', source: content(1 << 18) }];

/** What is told of rejected connections, and waiting until so many were. */
class Rejections {
  readonly all: string[] = [];
  #look = (): void => {};

  readonly tell = (why: string): void => {
    this.all.push(why);
    this.#look();
  };

  async until(count: number): Promise<string[]> {
    while (this.all.length < count) {
      await new Promise<void>((resolve) => {
        this.#look = resolve;
      });
    }
    return this.all;
  }
}

/** A socket to a URI of `tcp:` or `unix:`. */
async function dial(uri: string): Promise<Socket> {
  const path = /^unix:(.*)$/.exec(uri)?.[1];
  const to = path === undefined ? { port: portOf(uri), host: '127.0.0.1' } : { path };
  const socket = connect({ ...to, allowHalfOpen: true }).on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** All that comes, to its end. */
async function all(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (data: string) => (text += data));
  await once(socket, 'end');
  return text;
}

/** Connects somewhere, says nothing, and goes; resolves once it has connected. */
const PASSERS: Record<string, (uri: string) => Promise<void>> = {
  async 'a socket that ends'(uri) {
    (await dial(uri)).end().resume();
  },
  async 'a socket that is reset'(uri) {
    (await dial(uri)).resetAndDestroy();
  },
  async 'a WebSocket that says goodbye'(uri) {
    const socket = new WebSocket(uri).on('error', () => {});
    await once(socket, 'open');
    socket.close(1000);
  },
  async 'a WebSocket that ends its half'(uri) {
    const socket = new WebSocket(uri).on('error', () => {});
    await once(socket, 'open');
    socket.send(new Uint8Array(0));
  },
  async 'a WebSocket that is cut'(uri) {
    const socket = new WebSocket(uri).on('error', () => {});
    await once(socket, 'open');
    socket.terminate();
  },
  async 'a request without a body'(uri) {
    const asking = request(uri, { method: 'POST', headers: { 'Content-Length': 0 } });
    asking.on('error', () => {}).end();
    const [answer] = (await once(asking, 'response')) as [IncomingMessage];
    answer.on('error', () => {}).resume();
  },
  async 'a request that is broken off'(uri) {
    const asking = request(uri, { method: 'POST' }).on('error', () => {});
    asking.flushHeaders();
    const [answer] = (await once(asking, 'response')) as [IncomingMessage];
    answer.on('error', () => {});
    asking.destroy();
  },
};

/** Where each of them can go to. */
const PLACES = Object.keys(PASSERS).flatMap((who): [string, string][] => {
  if (who.includes('WebSocket')) return [[who, 'ws://127.0.0.1:0/']];
  if (who.includes('request')) return [[who, 'http://127.0.0.1:0/']];
  const tcp: [string, string] = [who, 'tcp:127.0.0.1:0'];
  return who.includes('reset') ? [tcp] : [tcp, [who, 'unix:']];
});

/** A proxy with a place of a kind on one side, and TCP on the other. */
async function meeting(
  place: string,
  side: 'from' | 'to',
  options: Partial<ProxyOptions>,
): Promise<{ here: string; there: string; close(): Promise<void> }> {
  const other = 'tcp:127.0.0.1:0';
  const ends = side === 'from' ? { from: place, to: other } : { from: other, to: place };
  const between = await proxy({ ...ends, rendezvous: true, ...options });
  const { uri, toUri, close } = between;
  return side === 'from' ? { here: uri, there: toUri, close } : { here: toUri, there: uri, close };
}

describe.each(['from', 'to'] as const)('where two meet, at the side of %s', (side) => {
  it.each(PLACES)("%s, at %s, is not waited for, and takes nobody else's place", (who, place) =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const rejected = new Rejections();
        const options = { maxConnections: 2, onRejected: rejected.tell };
        const at = place === 'unix:' ? `unix:${join(folder, 'socket')}` : place;
        const { here, there, close } = await meeting(at, side, options);
        for (let passed = 1; passed <= 5; passed++) {
          await PASSERS[who]!(here);
          const told = await rejected.until(passed);
          expect(told.at(-1)).toMatch(/^dropped .*: it (ended before it said anything|broke)/);
        }
        if (!place.includes('//')) {
          const [near, far] = [await dial(here), await dial(there)];
          near.end('to the one who waits');
          expect(await all(far)).toBe('to the one who waits');
          far.end('and back');
          expect(await all(near)).toBe('and back');
        }
        await close();
      }),
    ),
  );

  it('one that has said all it has to say, and ended its half, is waited for', async () => {
    await leavingNothing(async () => {
      const rejected = new Rejections();
      const options = { onRejected: rejected.tell };
      const { here, there, close } = await meeting('tcp:127.0.0.1:0', side, options);
      const near = await dial(here);
      near.end('all that I have to say');
      // Those that come after it and go are noticed; it is still there then.
      (await dial(here)).end().resume();
      await rejected.until(1);
      const far = await dial(there);
      expect(await all(far)).toBe('all that I have to say');
      far.end('and the answer');
      expect(await all(near)).toBe('and the answer');
      await close();
      expect(rejected.all).toHaveLength(1);
    });
  });

  it('nobody is waited for without end', async () => {
    await leavingNothing(async () => {
      const rejected = new Rejections();
      const options = { maxWait: 100, onRejected: rejected.tell };
      const { here, close } = await meeting('tcp:127.0.0.1:0', side, options);
      const silent = await dial(here);
      const said = await dial(here);
      said.write('something');
      const closed = [silent, said].map((socket) => gone(socket.resume()));
      for (const why of await rejected.until(2)) {
        expect(why).toBe('dropped a connection from 127.0.0.1: nobody took it within 0.1 s');
      }
      for (const socket of [silent, said]) socket.end();
      await Promise.all(closed);
      await close();
    });
  });

  it('who waits takes no place of the other side', async () => {
    await leavingNothing(async () => {
      const rejected = new Rejections();
      const options = { maxConnections: 2, onRejected: rejected.tell };
      const { here, there, close } = await meeting('tcp:127.0.0.1:0', side, options);
      const waiting = [await dial(here), await dial(here)];
      const third = await dial(here);
      expect(await rejected.until(1)).toEqual([expect.stringContaining('2 are open')]);
      const others = [await dial(there), await dial(there)];
      for (const [index, socket] of waiting.entries()) {
        socket.end('x');
        expect(await all(others[index]!)).toBe('x');
        others[index]!.end();
      }
      third.destroy();
      await close();
    });
  });
});

describe('a proxy', () => {
  it('is given no wait that is none', async () => {
    const ends = { from: 'tcp:127.0.0.1:0', to: 'tcp:127.0.0.1:0', rendezvous: true };
    for (const maxWait of [0, -1, 1.5, 2 ** 31, Number.NaN]) {
      expect((await errorOf(proxy({ ...ends, maxWait }))).code).toBe('ERR_OPTION');
      expect(() => new ConnectionQueue({ maxWait })).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION' }),
      );
    }
  });
});

describe('an inbox', () => {
  it('has room again when one that waited has ended without a byte', async () => {
    await leavingNothing(async () => {
      const rejected = new Rejections();
      const inbox = new ConnectionQueue({ maxConnections: 1, onRejected: rejected.tell });
      for (let passed = 1; passed <= 3; passed++) {
        const [ours, theirs] = streamPairs();
        await inbox.add(theirs, 'a passer-by');
        await ours.writable.close();
        const told = await rejected.until(passed);
        expect(told.at(-1)).toBe(`dropped a connection from a passer-by: ${ENDED}`);
      }
      const { port1, port2 } = new MessageChannel();
      await inbox.add(port2);
      port1.postMessage('end');
      await rejected.until(4);
      port1.close();
      inbox.close();
    });
  });

  it('keeps one that has said all it has to say, and hands it over as it is', async () => {
    await leavingNothing(async () => {
      const rejected = new Rejections();
      const inbox = new ConnectionQueue({ maxConnections: 1, onRejected: rejected.tell });
      const [ours, theirs] = streamPairs();
      await inbox.add(theirs);
      const writer = ours.writable.getWriter();
      await writer.write(new TextEncoder().encode('none of a migration'));
      void writer.close();
      const cancel = new AbortController();
      const { signal } = cancel;
      const seen = new Rejections();
      const onRejected = seen.tell;
      const incoming = await receive({ inbox, blocks: {}, inline: true, signal, onRejected });
      const why = 'its first bytes are not those of a migration';
      expect(await seen.until(1)).toEqual([expect.stringContaining(why)]);
      cancel.abort();
      await errorOf(incoming.completed);
      expect(rejected.all).toEqual([]);
    });
  });

  it('keeps nobody without end', async () => {
    await leavingNothing(async () => {
      const rejected = new Rejections();
      const inbox = new ConnectionQueue({
        maxConnections: 1,
        maxWait: 50,
        onRejected: rejected.tell,
      });
      const [ours, theirs] = streamPairs();
      await inbox.add(theirs);
      const late = 'nobody took it within 0.05 s';
      expect(await rejected.until(1)).toEqual([`dropped a connection from the caller: ${late}`]);
      const written = ours.writable.getWriter().write(new Uint8Array(1));
      await expect(written).rejects.toMatchObject({ code: 'ERR_PEER_CLOSED' });
      // A WebSocket whose other end never answers.
      const server = createServer((socket) => void socket.on('error', () => {}).resume());
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const opening = new WebSocket(`ws://127.0.0.1:${port}/`).on('error', () => {});
      const error = await errorOf(inbox.add(opening as unknown as globalThis.WebSocket));
      expect(error.code).toBe('ERR_CONNECT');
      expect(error.message).toContain('it did not open within 0.05 s');
      server.close();
      inbox.close();
    });
  });

  it('serves a migration after one that came and went', async () => {
    await leavingNothing(async () => {
      const inbox = new ConnectionQueue();
      const [ours, theirs] = streamPairs();
      await inbox.add(theirs);
      await ours.writable.close();
      const moved = move({ source: { connect: intoQueue(streamEnds, inbox) }, target: { inbox } });
      expectWhole(await moved);
    });
  });
});

describe('a source that listens', () => {
  it.each(PLAIN)('at %s keeps no place for those who came and went', (place) =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const rejected = new Rejections();
        const cancel = new AbortController();
        let at = (_: string): void => {};
        const where = new Promise<string>((resolve) => {
          at = resolve;
        });
        const sent = errorOf(
          send({
            uri: place === 'unix:' ? `unix:${join(folder, 'socket')}` : place,
            listen: true,
            onListening: at,
            blocks: BLOCKS,
            inline: true,
            channels: 1,
            maxConnections: 1,
            maxBandwidth: 1,
            signal: cancel.signal,
            onRejected: rejected.tell,
          }),
        );
        const uri = await where;
        // The main channel and the only other one; who comes after them has no place to wait for.
        const taken = [await dial(uri), await dial(uri)];
        await once(taken[0]!, 'readable');
        await once(taken[1]!, 'readable');
        for (let passed = 1; passed <= 3; passed++) {
          (await dial(uri)).end().resume();
          const told = await rejected.until(passed);
          expect(told.at(-1)).toContain('the main channel and all 1 others are there');
        }
        cancel.abort();
        expect((await sent).code).toBe('ERR_CANCELLED');
        for (const socket of taken) socket.destroy();
      }),
    ),
  );
});
