import { ConnectionQueue } from 'multifd';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { leavingNothing, withFolder } from '../../support/migration.ts';
import { Credentials } from '../../support/tls.ts';
import {
  expectWhole,
  intoQueue,
  type MakeEnds,
  move,
  portEnds,
  SocketServer,
  streamEnds,
  type Endpoints,
} from '../../support/transport.ts';

const SHAPES = (['none', 'zlib'] as const).flatMap((compression) =>
  [true, false].map((inline) => ({ compression, inline })),
);

describe('a migration over', () => {
  let credentials: Credentials;
  let sockets: SocketServer;

  beforeAll(async () => {
    credentials = await Credentials.create();
    sockets = await SocketServer.open();
  });
  afterAll(async () => {
    sockets.close();
    await credentials.remove();
  });

  const kinds = [
    'tcp:127.0.0.1:0',
    'unix:',
    'ws://127.0.0.1:0/vm',
    'http://127.0.0.1:0/',
    'wss://127.0.0.1:0/',
    'https://127.0.0.1:0/vm?x=1',
  ];

  it.each(kinds)('%s, whoever listens', async (kind) => {
    const secure = /^(wss|https):/.test(kind);
    const client = secure ? { tls: { credsDir: credentials.of('client') } } : {};
    const server = secure ? { tls: { credsDir: credentials.of('server') } } : {};
    for (const shape of SHAPES) {
      await withFolder((folder) =>
        leavingNothing(async () => {
          const uri = kind === 'unix:' ? `unix:${folder}/socket` : kind;
          expectWhole(
            await move({ source: { uri: '', ...client }, target: { uri, ...server } }, shape),
          );
          const source = { uri, listen: true, token: 'secret', ...server };
          const target = { uri: '', connect: true, token: 'secret', ...client };
          expectWhole(await move({ source, target } as Endpoints, shape));
        }),
      );
    }
  });

  it.each<[string, () => MakeEnds]>([
    ['pairs of streams that hold nothing', () => streamEnds],
    ['MessagePorts', () => portEnds],
    ["WebSockets of the caller's", () => sockets.ends],
  ])('%s, into an inbox, and from one', async (_, makeEnds) => {
    const ends = makeEnds();
    for (const shape of SHAPES) {
      await leavingNothing(async () => {
        const inbox = new ConnectionQueue();
        expectWhole(
          await move({ source: { connect: intoQueue(ends, inbox) }, target: { inbox } }, shape),
        );
        const [theirs, ours] = [new ConnectionQueue(), new ConnectionQueue()];
        for (let connections = 0; connections < 3; connections++) {
          const [near, far] = await ends();
          await Promise.all([theirs.add(near), ours.add(far)]);
        }
        expectWhole(await move({ source: { inbox: theirs }, target: { inbox: ours } }, shape));
      });
    }
  });

  it('many channels, more than may be unknown at a time', async () => {
    for (const [source, target] of [
      [{ uri: '' }, { uri: 'ws://127.0.0.1:0/' }],
      [{ uri: '' }, { uri: 'http://127.0.0.1:0/' }],
    ] as [Endpoints['source'], Endpoints['target']][]) {
      await leavingNothing(async () =>
        expectWhole(
          await move({ source, target: { ...target, maxConnections: 20 } }, { channels: 64 }),
        ),
      );
    }
    await leavingNothing(async () =>
      expectWhole(
        await move(
          {
            source: { uri: 'ws://127.0.0.1:0/', listen: true, token: 'secret' },
            target: { connect: true, token: 'secret', maxConnections: 2 },
          },
          { channels: 8, source: { maxConnections: 9 } },
        ),
      ),
    );
  });

  it('WebSockets without a return path, where nobody says at the end that all has come', async () => {
    for (const uri of ['ws://127.0.0.1:0/', 'http://127.0.0.1:0/']) {
      for (const inline of [true, false]) {
        await leavingNothing(async () =>
          expectWhole(
            await move(
              { source: { uri: '' }, target: { uri } },
              { inline, length: 8 << 20, source: { returnPath: false } },
            ),
          ),
        );
        const target = { connect: true, token: 'secret' };
        const listens = { source: { uri, listen: true, token: 'secret' }, target };
        await leavingNothing(async () => {
          const options = { inline, length: 8 << 20, source: { returnPath: false } };
          expectWhole(await move(listens, options));
        });
      }
    }
  });
});
