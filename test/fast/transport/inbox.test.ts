import { ConnectionQueue, receive, send, type StreamPair } from 'multifd';
import { describe, expect, it } from 'vitest';
import { errorOf, LAUNCHERS, leavingNothing } from '../../support/migration.ts';
import {
  content,
  expectWhole,
  intoQueue,
  move,
  streamEnds,
  streamPairs,
} from '../../support/transport.ts';

const URL = 'http://edge.example.com/vm';
const LENGTH = 1 << 18;

/** A request as a runtime hands it to a handler, and the pair of streams that its client has. */
function post(headers: Record<string, string> = {}): {
  request: Request;
  answered(response: Response): StreamPair;
} {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const request = new Request(URL, {
    method: 'POST',
    body: readable,
    headers,
    duplex: 'half',
  } as RequestInit);
  return { request, answered: (response) => ({ readable: response.body!, writable }) };
}

describe.each(LAUNCHERS)('an inbox, $name', ({ inline }) => {
  it('takes POSTs, of which each is a connection', async () => {
    await leavingNothing(async () => {
      const inbox = new ConnectionQueue({ token: 'secret' });
      const connect = async (): Promise<StreamPair> => {
        const { request, answered } = post({ Authorization: 'Bearer secret' });
        const response = await inbox.fetch(request);
        expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store']);
        return answered(response);
      };
      for (const compression of ['none', 'zlib'] as const)
        expectWhole(
          await move(
            { source: { connect }, target: { inbox } },
            { inline, compression, length: LENGTH },
          ),
        );
    });
  });

  it(
    'keeps what comes before the migration does, on either side, and serves one migration ' +
      'after the other',
    async () => {
      await leavingNothing(async () => {
        const inbox = new ConnectionQueue();
        const near: StreamPair[] = [];
        for (let connections = 0; connections < 3; connections++) {
          const [ours, theirs] = streamPairs();
          near.push(ours);
          await inbox.add(theirs);
        }
        expectWhole(
          await move(
            { source: { connect: () => near.pop()! }, target: { inbox } },
            { inline, length: LENGTH },
          ),
        );
        expectWhole(
          await move(
            { source: { connect: intoQueue(streamEnds, inbox) }, target: { inbox } },
            { inline, length: LENGTH },
          ),
        );
      });
    },
  );
});

describe('an inbox', () => {
  it('answers what is no connection with a status', async () => {
    const inbox = new ConnectionQueue({ token: 'secret', maxConnections: 1 });
    const authorization = { Authorization: 'Bearer secret' };
    const statusOf = async (request: Request): Promise<number> =>
      (await inbox.fetch(request)).status;
    expect(await statusOf(post().request)).toBe(401);
    expect(await statusOf(post({ Authorization: 'Bearer secre' }).request)).toBe(401);
    expect(
      (await inbox.fetch(new Request(URL, { headers: authorization }))).headers.get('allow'),
    ).toBe('POST');
    expect(await statusOf(new Request(URL, { headers: authorization }))).toBe(405);
    expect(await statusOf(new Request(URL, { method: 'POST', headers: authorization }))).toBe(400);
    // Node hands no upgrade to a handler of requests.
    expect(
      await statusOf(new Request(URL, { headers: { ...authorization, Upgrade: 'websocket' } })),
    ).toBe(501);
    expect(await statusOf(post(authorization).request)).toBe(200);
    const full = await inbox.fetch(post(authorization).request);
    expect([full.status, full.headers.get('retry-after')]).toEqual([503, '1']);
    inbox.close();
    expect(await statusOf(post(authorization).request)).toBe(503);
  });

  it('has room again when somebody who waited has given up', async () => {
    const inbox = new ConnectionQueue({ maxConnections: 1 });
    const first = post();
    const { writable } = first.answered(await inbox.fetch(first.request));
    expect((await inbox.fetch(post().request)).status).toBe(503);
    await writable.abort(new Error('gone'));
    await new Promise((resolve) => void setImmediate(resolve));
    expect((await inbox.fetch(post().request)).status).toBe(200);
    inbox.close();
  });

  it('that is closed closes who waits in it, and who comes later', async () => {
    const inbox = new ConnectionQueue();
    const [ours, theirs] = streamPairs();
    await inbox.add(theirs);
    inbox.close();
    // A TransformStream of Node 20 hears of it a turn later.
    await new Promise((resolve) => void setImmediate(resolve));
    await expect(ours.writable.getWriter().write(new Uint8Array(1))).rejects.toMatchObject({
      code: 'ERR_PEER_CLOSED',
    });
    const [late, other] = streamPairs();
    await inbox.add(other);
    await expect(late.writable.getWriter().write(new Uint8Array(1))).rejects.toMatchObject({
      code: 'ERR_PEER_CLOSED',
    });
  });

  it('takes nothing that is no connection, and one way only is given', async () => {
    const inbox = new ConnectionQueue();
    for (const wrong of [undefined, null, 7, 'tcp:', {}, { readable: new ReadableStream() }])
      expect((await errorOf(inbox.add(wrong as never))).code).toBe('ERR_OPTION');
    const blocks = [{ id: 'ram', source: content(LENGTH) }];
    expect((await errorOf(receive({ inbox, uri: 'tcp:127.0.0.1:0', blocks: {} }))).code).toBe(
      'ERR_OPTION',
    );
    expect((await errorOf(receive({ blocks: {} }))).code).toBe('ERR_OPTION');
    expect((await errorOf(send({ blocks, inbox, connect: () => streamPairs()[0] }))).code).toBe(
      'ERR_OPTION',
    );
    expect((await errorOf(send({ blocks }))).code).toBe('ERR_OPTION');
  });
});
