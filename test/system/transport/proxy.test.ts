import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { proxy, type ProxyOptions, receive, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { errorOf, LAUNCHERS, leavingNothing, withFolder } from '../../support/migration.ts';
import { parseLines, run, start, startReceiver, temporaryFolder } from '../../support/command.ts';
import { codesOf, content, move, portOf } from '../../support/transport.ts';

/** A target, a proxy in front of it, and a source that knows the proxy. */
function through(
  from: string,
  to: string,
  inline: boolean,
  options: Partial<ProxyOptions> = {},
): Promise<void> {
  return withFolder((folder) =>
    leavingNothing(async () => {
      const place = (uri: string): string =>
        uri === 'unix:' ? `unix:${folder}/${uri === from ? 'from' : 'to'}` : uri;
      const [source, memory] = [content(1 << 20), new Uint8Array(new SharedArrayBuffer(1 << 20))];
      const incoming = await receive({ uri: place(to), blocks: { ram: memory }, inline });
      const between = await proxy({ from: place(from), to: incoming.uri, ...options });
      const sent = await send({ uri: between.uri, blocks: [{ id: 'ram', source }], inline });
      await incoming.completed;
      expect(Buffer.compare(source, memory)).toBe(0);
      await between.close();
      // The answers came back after the source had ended its half.
      expect(between.statistics).toMatchObject({ connections: 3, open: 0 });
      expect(between.statistics.transferred).toBeGreaterThan(sent.ram.transferred);
    }),
  );
}

/** All that comes, to its end. */
async function all(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (data: string) => (text += data));
  await once(socket, 'end');
  return text;
}

const PAIRS = [
  ['tcp:127.0.0.1:0', 'ws://127.0.0.1:0/'],
  ['ws://127.0.0.1:0/', 'tcp:127.0.0.1:0'],
  ['unix:', 'http://127.0.0.1:0/'],
  ['http://127.0.0.1:0/', 'ws://127.0.0.1:0/'],
] as const;

describe.each(LAUNCHERS)('a proxy, $name', ({ inline }) => {
  it.each(PAIRS)('from %s to %s', (from, to) => through(from, to, inline));

  it('with two that can only connect, in either order', async () => {
    await leavingNothing(async () => {
      const between = await proxy({
        from: 'tcp:127.0.0.1:0',
        to: 'ws://127.0.0.1:0/',
        rendezvous: true,
        toToken: 'secret',
      });
      const [source, memory] = [content(1 << 20), new Uint8Array(new SharedArrayBuffer(1 << 20))];
      const blocks = [{ id: 'ram', source }];
      const first = await receive({
        uri: between.toUri,
        connect: true,
        token: 'secret',
        blocks: { ram: memory },
        inline,
      });
      await Promise.all([send({ uri: between.uri, blocks, inline }), first.completed]);
      expect(Buffer.compare(source, memory)).toBe(0);
      const sending = send({ uri: between.uri, blocks, inline });
      const second = await receive({
        uri: between.toUri,
        connect: true,
        token: 'secret',
        blocks: { ram: memory },
        inline,
      });
      await Promise.all([sending, second.completed]);
      await between.close();
      expect(between.statistics).toMatchObject({ connections: 6, open: 0 });
    });
  });
});

describe('a proxy', () => {
  it(
    'passes an end on as an end, with the other way still open, and closes both ends when one ' +
      'has broken',
    async () => {
      await leavingNothing(async () => {
        const accepted: Socket[] = [];
        const server = createServer(
          { allowHalfOpen: true },
          (socket) => void accepted.push(socket.on('error', () => {})),
        );
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        const inner = await proxy({
          from: 'ws://127.0.0.1:0/',
          to: `tcp:127.0.0.1:${(server.address() as AddressInfo).port}`,
        });
        const outer = await proxy({ from: 'tcp:127.0.0.1:0', to: inner.uri });

        const client = connect({ port: portOf(outer.uri), host: '127.0.0.1', allowHalfOpen: true });
        const connected = once(server, 'connection');
        const answer = all(client);
        client.end('all that I have to say');
        await connected;
        const far = accepted[0]!;
        expect(await all(far)).toBe('all that I have to say');
        far.end('and the answer');
        expect(await answer).toBe('and the answer');

        const again = once(server, 'connection');
        const broken = connect({ port: portOf(outer.uri), host: '127.0.0.1' }).on(
          'error',
          () => {},
        );
        await again;
        broken.write('in the middle');
        const other = accepted[1]!;
        other.once('data', () => broken.resetAndDestroy());
        expect(await all(other)).toBe('in the middle');
        other.destroy();
        await Promise.all([outer.close(), inner.close()]);
        expect([outer.statistics, inner.statistics]).toEqual([
          { connections: 2, open: 0, transferred: 49 },
          { connections: 2, open: 0, transferred: 49 },
        ]);
        server.close();
      });
    },
  );

  it.each(PAIRS.slice(0, 2))(
    'that is closed in the middle, from %s to %s, leaves nothing, and both ends hear of it',
    async (from, to) => {
      await leavingNothing(async () => {
        const incoming = await receive({
          uri: to,
          blocks: { ram: content(1 << 20) },
          inline: true,
          onProgress: ({ ram }) => void (ram.transferred > 0 && between.close()),
        });
        const between = await proxy({ from, to: incoming.uri });
        const sending = send({
          uri: between.uri,
          blocks: [{ id: 'ram', source: content(1 << 20) }],
          inline: true,
          maxBandwidth: 4096,
        });
        expect([(await errorOf(sending)).code, (await errorOf(incoming.completed)).code]).toEqual([
          'ERR_PEER_CLOSED',
          'ERR_PEER_CLOSED',
        ]);
        await between.close();
        expect(between.statistics.open).toBe(0);
      });
    },
  );

  it('that reaches nobody drops who came, and says so; one that is full as well', async () => {
    await leavingNothing(async () => {
      const rejected: string[] = [];
      const nobody = await proxy({
        from: 'ws://127.0.0.1:0/',
        to: 'tcp:127.0.0.1:1',
        onRejected: (why) => rejected.push(why),
      });
      const moved = await move(
        { source: { uri: nobody.uri }, target: { uri: 'tcp:127.0.0.1:0' } },
        { giveUp: true },
      );
      expect(codesOf(moved)).toEqual(['ERR_PEER_CLOSED', 'ERR_CANCELLED']);
      expect(rejected[0]).toMatch(
        /dropped a connection from 127.0.0.1: tcp:127.0.0.1:1 can't be reached/,
      );
      await nobody.close();

      const full: string[] = [];
      let dropped = (): void => {};
      const both = new Promise<void>((resolve) => {
        dropped = resolve;
      });
      const onRejected = (why: string): void => {
        if (full.push(why) === 2) dropped();
      };
      const ends = { from: 'tcp:127.0.0.1:0', to: 'tcp:127.0.0.1:0', rendezvous: true };
      const small = await proxy({ ...ends, maxConnections: 1, onRejected });
      const sockets = Array.from({ length: 3 }, () =>
        connect(portOf(small.uri), '127.0.0.1')
          .on('error', () => {})
          .resume(),
      );
      await both;
      expect(full).toEqual([1, 2].map(() => expect.stringContaining('1 are open')));
      await Promise.all([
        small.close(),
        ...sockets.filter(({ closed }) => !closed).map((socket) => once(socket, 'close')),
      ]);
    });
  });

  it('is refused a file, and a place that is taken', async () => {
    await leavingNothing(async () => {
      expect((await errorOf(proxy({ from: 'file:/x', to: 'tcp:127.0.0.1:1' }))).code).toBe(
        'ERR_URI',
      );
      expect((await errorOf(proxy({ from: 'tcp:127.0.0.1:0', to: 'file:/x' }))).code).toBe(
        'ERR_URI',
      );
      const first = await proxy({ from: 'tcp:127.0.0.1:0', to: 'tcp:127.0.0.1:1' });
      expect(
        (await errorOf(proxy({ from: 'tcp:127.0.0.1:0', to: first.uri, rendezvous: true }))).code,
      ).toBe('ERR_LISTEN');
      await first.close();
    });
  });

  it(
    'as a command: passes on, says where it listens and what went through, and ends with a ' +
      'signal',
    async () => {
      const folder = await temporaryFolder();
      const [token, file] = [join(folder, 'token'), join(folder, 'file')] as const;
      await writeFile(token, 'secret');
      await writeFile(file, content(1 << 20));
      const { receiver, uri } = await startReceiver(
        'ws://127.0.0.1:0/',
        join(folder, 'image'),
        '--token-file',
        token,
      );
      const between = start('proxy', 'tcp:127.0.0.1:0', uri, '--to-token-file', token, '--json');
      const listening = (await between.event('listening')) as unknown as {
        uri: string;
        to: string;
      };
      expect(listening.to).toBe(uri);
      expect((await run('send', file, listening.uri)).status).toBe(0);
      expect((await receiver.ended).status).toBe(0);
      between.child.kill('SIGINT');
      const { status, stdout } = await between.ended;
      expect(status).toBe(0);
      expect(parseLines(stdout).at(-1)).toMatchObject({ event: 'completed', connections: 3 });
    },
  );

  it(
    'as a command, for a source and a target that listens for none: send --listen, receive ' +
      '--connect',
    async () => {
      const folder = await temporaryFolder();
      const [token, file] = [join(folder, 'token'), join(folder, 'file')] as const;
      await writeFile(token, 'secret');
      await writeFile(file, content(1 << 20));
      const by = ['--token-file', token];
      const sender = start('send', file, 'ws://127.0.0.1:0/', '--listen', '--json', ...by);
      const { uri } = (await sender.event('listening')) as unknown as { uri: string };
      expect((await run('receive', uri, join(folder, 'image'), '--connect', ...by)).status).toBe(0);
      expect((await sender.ended).status).toBe(0);
    },
  );
});
