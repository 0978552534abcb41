import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { proxy, type ProxyOptions, receive, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { leavingNothing } from '../../support/migration.ts';
import { start } from '../../support/command.ts';
import { content, gone, portOf } from '../../support/transport.ts';

const CLOSED = /^closed (\d+) pairs of connections: nothing has moved for [\d.]+ s/;

/** A proxy whose connections a test has both ends of. */
class Between {
  readonly rejected: string[] = [];
  readonly near: Socket[] = [];
  readonly far: Socket[] = [];

  /** @param work gets as many pairs, joined, and is to leave none. */
  static async of(
    kind: 'tcp' | 'ws',
    pairs: number,
    options: Partial<ProxyOptions>,
    work: (between: Between) => Promise<void>,
  ): Promise<void> {
    await leavingNothing(async () => {
      const between = new Between();
      const server = createServer((socket) => {
        between.far.push(socket.on('error', () => {}));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const target = `tcp:127.0.0.1:${(server.address() as AddressInfo).port}`;
      const onRejected = (why: string): void => void between.rejected.push(why);
      const inner = { from: 'tcp:127.0.0.1:0', to: target, onRejected, ...options };
      // Over WebSockets in the middle: the same of connections that are no sockets.
      const middle = { from: 'ws://127.0.0.1:0/', to: target };
      const web = kind === 'ws' ? await proxy(middle) : undefined;
      const tested = await proxy({ ...inner, ...(web && { to: web.uri }) });
      for (let pair = 0; pair < pairs; pair++) {
        const joined = once(server, 'connection');
        const near = connect(portOf(tested.uri), '127.0.0.1').on('error', () => {});
        between.near.push(near);
        await joined;
      }
      await work(between);
      for (const socket of [...between.near, ...between.far]) socket.destroy();
      server.close();
      await tested.close();
      await web?.close();
      expect(tested.statistics.open).toBe(0);
    });
  }

  /** Resolves once all ends are closed. */
  async allClosed(): Promise<void> {
    await Promise.all([...this.near, ...this.far].map((socket) => gone(socket.resume())));
  }
}

describe.each(['tcp', 'ws'] as const)('a proxy, over %s', (kind) => {
  it('closes all that is open once nothing has moved in any of it, and says so', () =>
    Between.of(kind, 3, { timeout: 300 }, async (between) => {
      between.near[0]!.write('this is all');
      await between.allClosed();
      expect(between.rejected).toEqual([expect.stringMatching(CLOSED)]);
      expect(CLOSED.exec(between.rejected[0]!)![1]).toBe('3');
    }));

  it('closes what nobody reads, both ways', () =>
    Between.of(kind, 2, { timeout: 500 }, async (between) => {
      for (const socket of [...between.near, ...between.far]) socket.pause();
      const full = new Uint8Array(32 << 20);
      between.near[0]!.write(full);
      between.far[1]!.write(full);
      await Promise.all([gone(between.near[0]!), gone(between.far[1]!)]);
      expect(between.rejected).toEqual([expect.stringMatching(CLOSED)]);
    }));

  it('leaves one open that is silent, as long as something moves in another', () =>
    Between.of(kind, 2, { timeout: 1_500 }, async (between) => {
      const [[talks, silent], [hears, listens]] = [between.near, between.far];
      const began = performance.now();
      // For more than two time-outs, however long each word takes.
      while (performance.now() - began < 3_500) {
        const heard = once(hears!, 'data');
        talks!.write('.');
        await heard;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const heard = once(listens!, 'data');
      silent!.write('still here');
      expect(String((await heard)[0])).toBe('still here');
      expect(between.rejected).toEqual([]);
      await between.allClosed();
      expect(between.rejected).toEqual([expect.stringMatching(CLOSED)]);
    }));
});

describe('a proxy', () => {
  it('passes on a migration that takes longer than the time-out', async () => {
    await leavingNothing(async () => {
      const target = new Uint8Array(new SharedArrayBuffer(1 << 20));
      const source = content(1 << 20);
      const into = { blocks: { ram: target }, inline: true };
      const incoming = await receive({ uri: 'tcp:127.0.0.1:0', ...into });
      const rejected: string[] = [];
      const onRejected = (why: string): void => void rejected.push(why);
      const options = { timeout: 1_500, onRejected };
      const between = await proxy({ from: 'ws://127.0.0.1:0/', to: incoming.uri, ...options });
      const blocks = [{ id: 'ram', source }];
      await send({ uri: between.uri, blocks, inline: true, maxBandwidth: 300_000 });
      await incoming.completed;
      await between.close();
      expect([Buffer.compare(source, target), rejected]).toEqual([0, []]);
    });
  });

  it('that has nobody is left alone, and takes who comes after the time-out', async () => {
    await leavingNothing(async () => {
      const rejected: string[] = [];
      const onRejected = (why: string): void => void rejected.push(why);
      const ends = { from: 'tcp:127.0.0.1:0', to: 'tcp:127.0.0.1:0', rendezvous: true };
      const between = await proxy({ ...ends, timeout: 300, onRejected });
      // One that waits for its counterpart is not looked at: it has a limit of its own.
      const left = connect(portOf(between.uri), '127.0.0.1').on('error', () => {});
      await new Promise((resolve) => setTimeout(resolve, 900));
      const right = connect(portOf(between.toUri), '127.0.0.1').on('error', () => {});
      left.write('x');
      expect(String((await once(right, 'data'))[0])).toBe('x');
      expect(rejected).toEqual([]);
      await Promise.all([left, right].map((socket) => gone(socket.resume())));
      expect(rejected).toEqual([expect.stringMatching(CLOSED)]);
      await between.close();
    });
  });

  it('as a command, says that it has closed what did not move', async () => {
    const place = 'tcp:127.0.0.1:0';
    const options = ['--rendezvous', '--timeout', '0.3', '--json'];
    const running = start('proxy', place, place, ...options);
    const { uri, to } = await running.event('listening');
    const ports = [portOf(String(uri)), portOf(String(to))];
    const ends = ports.map((port) => connect(port, '127.0.0.1').on('error', () => {}));
    const said = /closed 1 pairs of connections: nothing has moved for 0.3 s/;
    expect(await running.said(said)).toBeDefined();
    await Promise.all(ends.map((socket) => gone(socket.resume())));
    running.child.kill('SIGINT');
    expect((await running.ended).status).toBe(0);
  });
});
