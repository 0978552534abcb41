import { ConnectionQueue, receive, send, type StreamPair } from 'multifd';
import type { Io } from './capabilities.ts';
import type { Case } from './case.ts';
import { check, equal, errorOf, fails } from './check.ts';
import { pairOf } from './memory.ts';
import { STREAMS, streamPairs } from './endpoints.ts';

export const ERROR_CASES: readonly Case[] = [
  { capability: 'errors', name: 'another number of channels at the other end', run: channelCount },
  { capability: 'errors', name: 'a block that the target has not', run: unknownBlock },
  { capability: 'errors', name: 'cancelled by its signal, before and meanwhile', run: cancelled },
  { capability: 'errors', name: 'a target that says nothing', run: silence },
  { capability: 'errors', name: 'a packet that was changed on its way', run: corrupt },
  { capability: 'errors', name: 'a connection that ends too early', run: cut },
  { capability: 'errors', name: 'options that contradict each other', run: options },
  {
    capability: 'errors',
    needs: ['webSocketListen'],
    name: 'another token, WebSocket',
    run: () => token('ws'),
  },
  {
    capability: 'errors',
    needs: ['httpListen'],
    name: 'another token, HTTP',
    run: () => token('http'),
  },
  { capability: 'errors', needs: ['httpListen'], name: 'a page of another origin', run: origin },
  {
    capability: 'errors',
    needs: ['unix', 'files'],
    name: 'a file where a Unix socket is to be',
    run: fileForSocket,
  },
  { capability: 'errors', name: "an inbox's answers to what is no connection", run: inboxAnswers },
  { capability: 'errors', name: 'a target that is closed, by either name of it', run: closed },
  { capability: 'errors', name: 'an option that nobody knows', run: unknownOption },
];

async function channelCount(io: Io): Promise<void> {
  const { source, target } = pairOf('unshared');
  const { incoming, to } = await STREAMS.open({ blocks: { heap: target }, channels: 2 }, io);
  const [atTarget, atSource] = await Promise.all([
    errorOf(incoming.completed),
    errorOf(send({ ...to, channels: 3, blocks: [{ id: 'heap', source }] })),
  ]);
  equal(atTarget.code, 'ERR_CHANNEL_ID', 'code at the target');
  check(
    ['ERR_REMOTE', 'ERR_PEER_CLOSED'].includes(atSource.code),
    `the source has ${atSource.code}: ${atSource.message}`,
  );
}

async function unknownBlock(io: Io): Promise<void> {
  const { source, target } = pairOf('unshared');
  const { incoming, to } = await STREAMS.open({ blocks: { heap: target } }, io);
  const [atTarget, atSource] = await Promise.all([
    errorOf(incoming.completed),
    errorOf(send({ ...to, blocks: [{ id: 'stack', source }] })),
  ]);
  equal(atTarget.code, 'ERR_BLOCK', 'code at the target');
  check(
    ['ERR_REMOTE', 'ERR_PEER_CLOSED'].includes(atSource.code),
    `the source has ${atSource.code}: ${atSource.message}`,
  );
}

async function cancelled(io: Io): Promise<void> {
  const { source, target } = pairOf('unshared');
  const blocks = [{ id: 'heap', source }];
  await fails(
    send({ connect: () => streamPairs()[0], blocks, signal: AbortSignal.abort() }),
    'ERR_CANCELLED',
    'a signal that has fired already',
  );

  const controller = new AbortController();
  const { incoming, to } = await STREAMS.open(
    { blocks: ({ id }) => (controller.abort(), id === 'heap' ? target : target) },
    io,
  );
  const [atSource] = await Promise.all([
    errorOf(send({ ...to, blocks, signal: controller.signal })),
    errorOf(incoming.completed),
  ]);
  equal(atSource.code, 'ERR_CANCELLED', 'code at the source');

  const stop = new AbortController();
  const waiting = await receive({
    inbox: new ConnectionQueue(),
    blocks: { heap: target },
    signal: stop.signal,
  });
  stop.abort();
  await fails(waiting.completed, 'ERR_CANCELLED', 'a target that waits for its source');
}

async function closed(): Promise<void> {
  const { target } = pairOf('unshared');
  const disposal: typeof Symbol.asyncDispose =
    Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');
  for (const name of ['close', disposal] as const) {
    const incoming = await receive({ inbox: new ConnectionQueue(), blocks: { heap: target } });
    await incoming[name]();
    await incoming[name]();
    await fails(incoming.completed, 'ERR_CANCELLED', 'what was closed');
    const error = await incoming.completed.then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    const cause = error?.cause as Error | undefined;
    equal([error?.name, cause?.name], ['AbortError', 'AbortError'], 'the names');
  }
}

async function unknownOption(): Promise<void> {
  const wrong = { inbox: new ConnectionQueue(), blocks: {}, chanels: 3 };
  const message = await fails(receive(wrong), 'ERR_OPTION', 'a name that is misspelt');
  equal(message, 'receive: unknown option "chanels": did you mean "channels"?', 'the message');
}

async function silence(): Promise<void> {
  const { source } = pairOf('unshared');
  await fails(
    send({ connect: () => streamPairs()[0], blocks: [{ id: 'heap', source }], timeout: 100 }),
    'ERR_TIMEOUT',
    'a source whose target does not read',
  );
}

/** A connection on its way to the target, through something that may change what it says. */
function through(pair: StreamPair, transform: Transformer<Uint8Array, Uint8Array>): StreamPair {
  const changed = new TransformStream(transform);
  pair.readable.pipeTo(changed.writable).catch(() => {}); // either end may be the one that gives up
  return { readable: changed.readable, writable: pair.writable };
}

/** A migration whose connections go through `change`. */
async function meddled(
  change: (channel: number | 'main', pair: StreamPair) => StreamPair,
): Promise<string[]> {
  const { source, target } = pairOf('unshared');
  const inbox = new ConnectionQueue();
  const incoming = await receive({ inbox, blocks: { heap: target } });
  const connect = (channel: number | 'main'): StreamPair => {
    const [ours, theirs] = streamPairs();
    void inbox.add(change(channel, theirs));
    return ours;
  };
  const errors = await Promise.all([
    errorOf(incoming.completed),
    errorOf(send({ connect, blocks: [{ id: 'heap', source }] })),
  ]);
  return errors.map(({ code }) => code);
}

/** Bytes of a channel's first packet, which says who it is. */
const INITIAL_BYTES = 64;

async function corrupt(): Promise<void> {
  const breakMagic = (): Transformer<Uint8Array, Uint8Array> => {
    let at = 0;
    return {
      transform(chunk, controller) {
        const copy = chunk.slice();
        if (at <= INITIAL_BYTES && INITIAL_BYTES < at + copy.length)
          copy[INITIAL_BYTES - at]! ^= 0xff;
        at += copy.length;
        controller.enqueue(copy);
      },
    };
  };
  const [atTarget, atSource] = await meddled((channel, pair) =>
    channel === 1 ? through(pair, breakMagic()) : pair,
  );
  equal(atTarget, 'ERR_MAGIC', 'code at the target');
  check(['ERR_REMOTE', 'ERR_PEER_CLOSED'].includes(atSource!), `the source has ${atSource}`);
}

async function cut(): Promise<void> {
  const MOST = 100_000;
  const endAfter = (): Transformer<Uint8Array, Uint8Array> => {
    let at = 0;
    return {
      transform(chunk, controller) {
        controller.enqueue(chunk.slice(0, Math.max(0, MOST - at)));
        at += chunk.length;
        if (at >= MOST) controller.terminate();
      },
    };
  };
  const [atTarget] = await meddled((channel, pair) =>
    channel === 0 ? through(pair, endAfter()) : pair,
  );
  equal(atTarget, 'ERR_PEER_CLOSED', 'code at the target');
}

async function options(): Promise<void> {
  const { source, target } = pairOf('unshared');
  const blocks = [{ id: 'heap', source }];
  await fails(send({ blocks } as never), 'ERR_OPTION', 'no way to the target');
  await fails(
    send({ uri: 'tcp:127.0.0.1:1', connect: () => streamPairs()[0], blocks }),
    'ERR_OPTION',
    'two ways to the target',
  );
  await fails(
    receive({ inbox: new ConnectionQueue(), blocks: { heap: target }, channels: 0 }),
    'ERR_OPTION',
    'no channels',
  );
  await fails(
    send({ uri: 'gopher://127.0.0.1/', blocks }),
    'ERR_URI',
    'a kind of URI that nobody knows',
  );
}

async function token(kind: 'ws' | 'http'): Promise<void> {
  const { source, target } = pairOf('unshared');
  const stop = new AbortController();
  const incoming = await receive({
    uri: `${kind}://127.0.0.1:0/`,
    token: 'right',
    blocks: { heap: target },
    signal: stop.signal,
  });
  for (const wrong of [{ token: 'wrong' }, {}])
    await fails(
      send({ uri: incoming.uri, ...wrong, blocks: [{ id: 'heap', source }] }),
      'ERR_AUTH',
      `a source with ${JSON.stringify(wrong)}`,
    );
  await Promise.all([
    send({ uri: incoming.uri, token: 'right', blocks: [{ id: 'heap', source }] }),
    incoming.completed,
  ]);
}

async function origin(): Promise<void> {
  const stop = new AbortController();
  const { signal } = stop;
  const origins = ['https://example.com'];
  const uri = 'http://127.0.0.1:0/';
  const incoming = await receive({ uri, origins, blocks: {}, signal });
  const ask = async (Origin: string): Promise<number> => {
    const init = { method: 'POST', body: 'none of a migration', headers: { Origin } };
    const response = await fetch(incoming.uri, init);
    // What is let in is dropped for what it says.
    await response.body?.cancel().catch(() => {});
    return response.status;
  };
  equal(
    [await ask('https://evil.example'), await ask('null')],
    [403, 403],
    'answers to other origins',
  );
  equal(await ask('https://example.com'), 200, 'the answer to a page that may come');
  stop.abort();
  await fails(incoming.completed, 'ERR_CANCELLED', 'the target');
}

async function fileForSocket({ folder }: Io): Promise<void> {
  const { source, target } = pairOf('unshared');
  const path = `${folder}/no-socket`;
  await send({ uri: `file:${path}`, blocks: [{ id: 'heap', source }] });
  const uri = `unix:${path}`;
  await fails(receive({ uri, blocks: { heap: target } }), 'ERR_LISTEN', 'a target there');
  const sending = send({ uri, listen: true, blocks: [{ id: 'heap', source }] });
  await fails(sending, 'ERR_LISTEN', 'a source there');
  const loading = await receive({ uri: `file:${path}`, blocks: { heap: target } });
  await loading.completed;
}

async function inboxAnswers(): Promise<void> {
  const inbox = new ConnectionQueue({ token: 'right' });
  const ask = async (init: RequestInit): Promise<number> =>
    (await inbox.fetch(new Request('http://localhost/', init))).status;
  const authorized = { Authorization: 'Bearer right' };
  equal(
    [
      await ask({ method: 'POST', body: 'x' }),
      await ask({ headers: { Authorization: 'Bearer wrong' } }),
      await ask({ headers: authorized }),
    ],
    [401, 401, 405],
    'answers',
  );
  inbox.close();
  equal(
    await ask({ method: 'POST', body: 'x', headers: authorized }),
    503,
    'the answer of one that is closed',
  );
}
