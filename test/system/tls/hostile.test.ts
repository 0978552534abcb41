import { connect as netConnect, type Socket } from 'node:net';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { receive, send } from 'multifd';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorOf, leavingNothing, PAGE, pageOf } from '../../support/migration.ts';
import { Target, Wire } from '../../support/peer.ts';
import {
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  initialPacket,
  part,
  ramPacket,
  start,
  syncPacket,
} from '../../support/wire.ts';
import { Credentials } from '../../support/tls.ts';

const LENGTH = 64 * PAGE;
const START = concat(header(), start([{ id: 'ram', length: LENGTH }]), flush(), endOfSection());

describe('TLS with peers that do what they should not', () => {
  let credentials: Credentials;
  const of = (name: string): { credsDir: string } => ({ credsDir: credentials.of(name) });
  const pem = (folder: string, file: string): Promise<string> =>
    readFile(join(credentials.of(folder), file), 'utf8');

  beforeAll(async () => {
    credentials = await Credentials.create();
  });
  afterAll(() => credentials.remove());

  /** A TLS source in the test's hand, and the connection below it. */
  async function dial(uri: string, folder = 'client'): Promise<{ wire: Wire; raw: Socket }> {
    const raw = netConnect({
      port: Number(uri.split(':').at(-1)),
      host: '127.0.0.1',
      allowHalfOpen: true,
    });
    await once(raw, 'connect');
    const socket = connect({
      socket: raw,
      checkServerIdentity: () => undefined,
      ca: await pem('client', 'ca-cert.pem'),
      cert: await pem(folder, 'client-cert.pem'),
      key: await pem(folder, 'client-key.pem'),
    });
    await once(socket, 'secureConnect');
    return { wire: new Wire(socket), raw };
  }

  async function listening(
    timeout = 10_000,
    blocks = { ram: new Uint8Array(LENGTH) },
  ): Promise<{
    uri: string;
    completed: Promise<unknown>;
    rejected: string[];
    abort: AbortController;
  }> {
    const rejected: string[] = [];
    const abort = new AbortController();
    const { uri, completed } = await receive({
      uri: 'tcp:127.0.0.1:0',
      blocks,
      channels: 1,
      timeout,
      tls: of('server'),
      signal: abort.signal,
      onRejected: (why) => rejected.push(why),
    });
    return { uri, completed, rejected, abort };
  }

  it(
    'a source that never begins its handshake is dropped after the time-out; the migration ' +
      'that comes after is taken',
    async () => {
      await leavingNothing(async () => {
        const memory = new Uint8Array(LENGTH);
        const { uri, completed, rejected } = await listening(400, { ram: memory });
        const silent = await Wire.open(uri);
        const half = await Wire.open(uri);
        half.put(Uint8Array.of(0x16, 3, 1, 2, 0, 1));
        await Promise.all([silent.dropped(), half.dropped()]);
        await send({
          uri,
          blocks: [{ id: 'ram', source: new Uint8Array(LENGTH).fill(1) }],
          channels: 1,
          tls: of('client'),
        });
        await completed;
        expect(rejected).toEqual(
          [1, 2].map(() => expect.stringMatching(/did not finish the handshake in time/)),
        );
        expect(memory).toEqual(pageOf(1, LENGTH));
      });
    },
  );

  it('a source in the middle of its handshake is dropped without a word when the target gives up', async () => {
    await leavingNothing(async () => {
      const { uri, completed, rejected, abort } = await listening();
      const silent = await Wire.open(uri);
      const greeted = await dial(uri);
      abort.abort();
      expect(await errorOf(completed)).toMatchObject({ code: 'ERR_CANCELLED' });
      await Promise.all([silent.dropped(), greeted.wire.dropped()]);
      expect(rejected).toEqual([]);
    });
  });

  it('no more than 512 wait for their handshake', async () => {
    await leavingNothing(async () => {
      const { uri, completed, rejected, abort } = await listening();
      const wires = await Promise.all(Array.from({ length: 515 }, () => Wire.open(uri)));
      while (rejected.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
      expect(rejected).toEqual(
        [1, 2, 3].map(() => expect.stringMatching(/512 others have not said yet what they are/)),
      );
      abort.abort();
      expect(await errorOf(completed)).toMatchObject({ code: 'ERR_CANCELLED' });
      await Promise.all(wires.map((wire) => wire.dropped()));
    });
  });

  it('a source with an expired certificate is refused', async () => {
    await leavingNothing(async () => {
      const { uri, completed, rejected, abort } = await listening();
      // It may hear of that in the middle of its handshake, or after it.
      await dial(uri, 'client-expired').then(
        ({ wire }) => wire.dropped(),
        () => {},
      );
      expect(rejected).toEqual([expect.stringMatching(/its certificate has expired/)]);
      abort.abort();
      await errorOf(completed);
    });
  });

  it('a target with an expired certificate is refused', async () => {
    await leavingNothing(async () => {
      const server = createServer({
        cert: await pem('server-expired', 'server-cert.pem'),
        key: await pem('server-expired', 'server-key.pem'),
      });
      server
        .on('tlsClientError', () => {})
        .on('secureConnection', (socket) => socket.on('error', () => {}).resume());
      const uri = await addressOf(server);
      const error = await errorOf(
        send({
          uri,
          blocks: [{ id: 'ram', source: new Uint8Array(PAGE) }],
          tls: of('client'),
          timeout: 5_000,
        }),
      );
      expect(error).toMatchObject({
        code: 'ERR_TLS',
        channel: 'main',
        message: expect.stringMatching(/its certificate has expired/),
      });
      await closed(server);
    });
  });

  it('a target that shows a certificate to a source that has only a key is refused', async () => {
    await leavingNothing(async () => {
      const server = createServer({
        minVersion: 'TLSv1.3',
        cert: await pem('server', 'server-cert.pem'),
        key: await pem('server', 'server-key.pem'),
      });
      server
        .on('tlsClientError', () => {})
        .on('secureConnection', (socket) => socket.on('error', () => {}).resume());
      const uri = await addressOf(server);
      const error = await errorOf(
        send({
          uri,
          blocks: [{ id: 'ram', source: new Uint8Array(PAGE) }],
          tls: of('psk'),
          timeout: 5_000,
        }),
      );
      expect(error).toMatchObject({ code: 'ERR_TLS', channel: 'main' });
      await closed(server);
    });
  });

  it('a target that takes connections and does no handshake: the source times out', async () => {
    await leavingNothing(async () => {
      const target = await Target.listen();
      const error = await errorOf(
        send({
          uri: target.uri,
          blocks: [{ id: 'ram', source: new Uint8Array(PAGE) }],
          tls: of('psk'),
          timeout: 300,
        }),
      );
      expect(error).toMatchObject({
        code: 'ERR_TIMEOUT',
        message: expect.stringMatching(/did not complete the TLS handshake within 0.3 s/),
      });
      await (await target.accept()).dropped();
      await target.close();
    });
  });

  it('a cancelled source gives up in the middle of a handshake', async () => {
    await leavingNothing(async () => {
      const target = await Target.listen();
      const error = await errorOf(
        send({
          uri: target.uri,
          blocks: [{ id: 'ram', source: new Uint8Array(PAGE) }],
          tls: of('psk'),
          signal: AbortSignal.timeout(100),
        }),
      );
      expect(error).toMatchObject({ code: 'ERR_CANCELLED' });
      await (await target.accept()).dropped();
      await target.close();
    });
  });

  /** What a source has said before it dies, and on which connection nothing more comes. */
  const deaths = [
    { what: 'the main channel, before the end of the RAM', dies: 'main' },
    { what: 'a channel, in the middle of a packet', dies: 'channel' },
  ] as const;
  const ways = [
    { way: 'cut off without a word', kill: ({ raw }: { raw: Socket }) => void raw.destroy() },
    {
      way: 'cut off after an end of the connection below',
      kill: ({ raw }: { raw: Socket }) => void raw.end(),
    },
    { way: 'ended in order', kill: ({ wire }: { wire: Wire }) => wire.end() },
    {
      way: 'spoiled by bytes that are not TLS',
      kill: ({ raw }: { raw: Socket }) => void raw.write(Buffer.alloc(100, 0x5a)),
    },
  ];
  it.each(deaths.flatMap((death) => ways.map((way) => ({ ...death, ...way }))))(
    'a source that is $way on $what',
    async ({ dies, kill }) => {
      await leavingNothing(async () => {
        const { uri, completed, rejected } = await listening();
        const main = await dial(uri);
        const channel = await dial(uri);
        main.wire.put(START, part());
        channel.wire.put(
          initialPacket(0),
          syncPacket(),
          ramPacket({ block: 'ram', normal: [0] }, pageOf(3)).subarray(0, 3000),
        );
        await new Promise((resolve) => setTimeout(resolve, 100));
        kill(dies === 'main' ? main : channel);
        expect(await errorOf(completed)).toMatchObject({
          code: 'ERR_PEER_CLOSED',
          channel: dies === 'main' ? 'main' : 0,
        });
        expect(rejected).toEqual([]);
        for (const { wire, raw } of [main, channel]) {
          raw.destroy();
          wire.destroy();
          await wire.closed;
        }
      });
    },
  );

  it(
    'a source that is cut off without a word after all it had to say: the migration is ' +
      'complete by then',
    async () => {
      await leavingNothing(async () => {
        const memory = new Uint8Array(LENGTH);
        const { uri, completed } = await listening(10_000, { ram: memory });
        const main = await dial(uri);
        const channel = await dial(uri);
        main.wire.put(START, part(), flush(), endOfSection(), end(), endOfSection(), endOfFile());
        channel.wire.put(initialPacket(0), syncPacket());
        await channel.wire.putAll(
          ramPacket({ block: 'ram', normal: [0] }, pageOf(3)),
          syncPacket(),
        );
        channel.raw.destroy();
        main.raw.destroy();
        await completed;
        expect(memory.subarray(0, PAGE)).toEqual(pageOf(3));
        for (const { wire } of [main, channel]) await wire.closed;
      });
    },
  );

  it.each([{ inline: true }, { inline: false }])(
    'a target that dies in the middle: the source fails at once (inline: $inline)',
    async ({ inline }) => {
      await leavingNothing(async () => {
        const server = createServer({
          allowHalfOpen: true,
          cert: await pem('server', 'server-cert.pem'),
          key: await pem('server', 'server-key.pem'),
        });
        const sockets: TLSSocket[] = [];
        server
          .on('tlsClientError', () => {})
          .on('secureConnection', (socket) => {
            let taken = 0;
            sockets.push(socket);
            socket
              .on('error', () => {})
              .on('data', ({ length }) => {
                taken += length;
                if (taken > 1 << 20) for (const each of sockets) each.destroy();
              });
          });
        const uri = await addressOf(server);
        const error = await errorOf(
          send({
            uri,
            inline,
            blocks: [{ id: 'ram', source: new Uint8Array(64 << 20).fill(1) }],
            tls: of('client'),
            timeout: 10_000,
          }),
        );
        expect(error).toMatchObject({ code: 'ERR_PEER_CLOSED' });
        for (const each of sockets) each.destroy();
        await closed(server);
      });
    },
  );

  it('cancelling either end in the middle leaves nothing', async () => {
    for (const inline of [true, false]) {
      for (const who of ['source', 'target'] as const) {
        await leavingNothing(async () => {
          const abort = new AbortController();
          const signal = { signal: abort.signal };
          const incoming = await receive({
            uri: 'tcp:127.0.0.1:0',
            inline,
            blocks: { ram: new Uint8Array(new SharedArrayBuffer(32 << 20)) },
            tls: of('psk'),
            ...(who === 'target' && signal),
          });
          const blocks = [
            { id: 'ram', source: new Uint8Array(new SharedArrayBuffer(32 << 20)).fill(1) },
          ];
          const onProgress = ({ ram }: { ram: { normal: number } }): void =>
            void (ram.normal > 0 && abort.abort());
          const sent = send({
            uri: incoming.uri,
            inline,
            blocks,
            tls: of('psk'),
            maxBandwidth: 4 << 20,
            onProgress,
            ...(who === 'source' && signal),
          });
          const [source, target] = await Promise.all([errorOf(sent), errorOf(incoming.completed)]);
          expect((who === 'source' ? source : target).code).toBe('ERR_CANCELLED');
          expect((who === 'source' ? target : source).code).toMatch(/^ERR_(PEER_CLOSED|REMOTE)$/);
        });
      }
    }
  });
});

async function addressOf(server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return `tcp:127.0.0.1:${typeof address === 'object' ? address!.port : ''}`;
}

async function closed(server: ReturnType<typeof createServer>): Promise<void> {
  server.close();
  await once(server, 'close');
}
