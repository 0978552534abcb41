import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { inspectRecording, replay, type ReplayOptions } from 'multifd';
import { describe, expect, test } from 'vitest';
import { errorOf, leavingNothing, withFolder } from '../../support/migration.ts';
import { Target } from '../../support/peer.ts';
import { beforeRead } from '../../support/reads.ts';
import { concat, initialPacket, shut } from '../../support/wire.ts';
import { messages, writeRecording } from '../../support/recording.ts';

/** Replays a small recording to a target by hand. */
function replaying<T>(
  options: Partial<ReplayOptions>,
  script: (target: Target) => Promise<T>,
  sent = messages(),
): Promise<{
  result: Awaited<ReturnType<typeof replay>> | undefined;
  error: Error | undefined;
  told: T;
}> {
  return withFolder((folder) =>
    leavingNothing(async () => {
      const path = await writeRecording(join(folder, 'rec'), sent);
      const target = await Target.listen(join(folder, 'socket'));
      const done = replay({ path, uri: target.uri, timeout: 20_000, ...options });
      done.catch(() => {});
      const told = await script(target);
      const result = await done.catch(() => undefined);
      const error = result === undefined ? await errorOf(done) : undefined;
      await target.close();
      return { result, error, told };
    }),
  );
}

describe('a target', () => {
  test.each([true, false])(
    'gets every byte of every connection, the main one first (return path %s)',
    async (returnPath) => {
      const sent = messages({ returnPath });
      const { result } = await replaying(
        {},
        async (target) => {
          const main = await target.accept();
          const magic = await main.take(4);
          expect(magic.toString()).toBe('QEVM');
          const channels = [await target.accept(), await target.accept()];
          const all = await Promise.all(channels.map((channel) => channel.rest()));
          all.sort((a, b) => a[24]! - b[24]!);
          expect(
            all.map((bytes, id) => Buffer.compare(bytes, concat(...sent.channels[id]!))),
          ).toEqual([0, 0]);
          expect(
            Buffer.compare(Buffer.concat([magic, await main.rest()]), concat(...sent.main)),
          ).toBe(0);
          if (returnPath) main.put(shut(0));
        },
        sent,
      );
      expect(result).toMatchObject({
        transferred: concat(...sent.main, ...sent.channels.flat()).length,
        channels: [{ id: 0 }, { id: 1 }],
      });
    },
  );

  test('is waited for, until it says that it has everything', async () => {
    let over = false;
    const { result } = await replaying(
      { onProgress: ({ transferred, total }) => void (over = transferred === total) },
      async (target) => {
        const main = await target.accept();
        const wires = [main, await target.accept(), await target.accept()];
        await Promise.all(wires.map((wire) => wire.rest()));
        expect(over).toBe(false); // the last progress is told at the end
        main.put(shut(0));
      },
    );
    expect(result).toBeDefined();
  });

  test.each<[string, Partial<ReplayOptions>, (target: Target) => Promise<unknown>, string]>([
    [
      'says that it failed',
      {},
      async (target) => (await target.accept()).put(shut(1)),
      'ERR_REMOTE',
    ],
    [
      'goes',
      {},
      async (target) => {
        const main = await target.accept();
        await main.take(4);
        main.destroy();
      },
      'ERR_PEER_CLOSED',
    ],
    ['says nothing', { timeout: 400 }, async (target) => target.accept(), 'ERR_TIMEOUT'],
    [
      'stops taking channels',
      {},
      async (target) => {
        const main = await target.accept();
        target.stopListening();
        main.destroy();
      },
      '^ERR_(CONNECT|PEER_CLOSED)$',
    ],
  ])('that %s ends it: %s', async (_, options, script, code) => {
    // So large that buffers cannot hold it.
    const { main, channels } = messages();
    const sent = { main, channels: [[...channels[0]!, new Uint8Array(8 << 20)], channels[1]!] };
    const { error } = await replaying(options, script, sent);
    expect(error).toMatchObject({ code: expect.stringMatching(code) });
  });

  test(
    'that says it is alive, and never that it has everything, is given up after the commit ' +
      'time-out',
    async () => {
      const { error } = await replaying(
        { timeout: 600_000, commitTimeout: 300 },
        async (target) => {
          const wires = [await target.accept(), await target.accept(), await target.accept()];
          for (const wire of wires) wire.ignore();
          const timer = setInterval(
            () => wires[0]!.put(concat(Uint8Array.of(0, 2, 0, 4, 0, 0, 0, 0))),
            20,
          );
          void wires[0]!.closed.then(() => clearInterval(timer));
        },
      );
      expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
      expect(error?.message).toContain('within 0.3 s that it is in place');
    },
  );

  test('that says it is alive, and takes nothing, is given up after the time-out', async () => {
    const { main, channels } = messages();
    const { error } = await replaying(
      { timeout: 500 },
      async (target) => {
        const first = await target.accept();
        const timer = setInterval(() => first.put(Uint8Array.of(0, 2, 0, 4, 0, 0, 0, 0)), 20);
        void first.closed.then(() => clearInterval(timer));
      },
      { main, channels: [[...channels[0]!, new Uint8Array(8 << 20)], channels[1]!] },
    );
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
    expect(error?.message).toContain('nothing has moved');
  });

  test('that is satisfied too early is not believed', async () => {
    const { main, channels } = messages();
    const { error } = await replaying({}, async (target) => (await target.accept()).put(shut(0)), {
      main,
      channels: [[...channels[0]!, new Uint8Array(8 << 20)]],
    });
    expect(error).toMatchObject({ code: 'ERR_STREAM' });
  });

  test('that nobody listens as: ERR_CONNECT; cancelled: ERR_CANCELLED', async () => {
    await withFolder(async (folder) => {
      const path = await writeRecording(join(folder, 'rec'), messages());
      expect(await errorOf(replay({ path, uri: `unix:${folder}/nobody` }))).toMatchObject({
        code: 'ERR_CONNECT',
      });
      expect(await errorOf(replay({ path, uri: `file:${folder}/image` }))).toMatchObject({
        code: 'ERR_URI',
      });
    });
    const controller = new AbortController();
    const { error } = await replaying({ signal: controller.signal }, async (target) => {
      await target.accept();
      controller.abort();
    });
    expect(error).toMatchObject({ code: 'ERR_CANCELLED' });
  });
});

test('the main channel ends when the others have had everything', async () => {
  const { main, channels } = messages();
  const sent = { main, channels: [[...channels[0]!, new Uint8Array(8 << 20)], channels[1]!] };
  const { result } = await replaying(
    {},
    async (target) => {
      const wire = await target.accept();
      const length = concat(...main).length;
      expect(await wire.take(length - 1)).toHaveLength(length - 1);
      const others = [await target.accept(), await target.accept()];
      const bytes = others.map((other) => other.rest());
      expect(await wire.take(1)).toHaveLength(1);
      wire.put(shut(0));
      expect((await Promise.all(bytes)).reduce((sum, { length: count }) => sum + count, 0)).toBe(
        concat(...sent.channels.flat()).length,
      );
    },
    sent,
  );
  expect(result).toBeDefined();
});

describe('times', () => {
  const withTimes = (
    lines: string,
    script: (target: Target) => Promise<void>,
    options: Partial<ReplayOptions> = {},
  ) =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const path = await writeRecording(join(folder, 'rec'), {
          main: messages({ returnPath: false }).main,
          channels: [],
        });
        await writeFile(join(path, 'main.times'), lines);
        const target = await Target.listen(join(folder, 'socket'));
        const done = replay({ path, uri: target.uri, timing: true, timeout: 400, ...options });
        done.catch(() => {});
        await script(target);
        const ended = await done.catch((error: unknown) => error);
        await target.close();
        return ended;
      }),
    );
  const all = concat(...messages({ returnPath: false }).main).length;
  const readAll = async (target: Target): Promise<void> => {
    expect(await (await target.accept()).rest()).toHaveLength(all);
  };

  test('a pause longer than the time-out is no stall', async () => {
    expect(await withTimes(`0 20\n700 ${all}\n`, readAll)).toMatchObject({
      transferred: all,
      'total-time': expect.toSatisfy((time: number) => time >= 690),
    });
  });

  test('times that end early hold nothing back, and those beyond the end neither', async () => {
    expect(await withTimes('0 20\n', readAll)).toMatchObject({ transferred: all });
    expect(await withTimes(`0 ${all + 1}\n2000000000 ${all + 2}\n`, readAll)).toMatchObject({
      transferred: all,
    });
  });

  test('a pause of weeks can be cancelled', async () => {
    const controller = new AbortController();
    const ended = withTimes(
      '0 20\n2000000000 30\n',
      async (target) => {
        await (await target.accept()).take(20);
        controller.abort();
      },
      { signal: controller.signal },
    );
    expect(await ended).toMatchObject({ code: 'ERR_CANCELLED' });
  });

  test.each([
    ['no numbers', 'one two\n'],
    ['a negative time', '-1 20\n'],
    ['a time that no timer holds', '2147483648 20\n'],
    ['bytes that no number holds', '0 9999999999999999\n'],
    ['bytes that shrink', '0 20\n1 19\n'],
    ['time that goes back', '5 5\n4 10\n'],
    ['a line without an end', `${'1'.repeat(100_000)}`],
    ['a line cut short', '0 10\n0 1'],
    ['an empty line', '0 10\n\n0 20\n'],
  ])('%s', async (_, lines) => {
    expect(await withTimes(lines, async () => {})).toMatchObject({ code: 'ERR_RECORDING' });
  });

  test('that were not kept', async () => {
    await withFolder(async (folder) => {
      const path = await writeRecording(join(folder, 'rec'), messages());
      const target = await Target.listen(join(folder, 'socket'));
      expect(await errorOf(replay({ path, uri: target.uri, timing: true }))).toMatchObject({
        code: 'ERR_RECORDING',
        message: expect.stringContaining('--timing'),
      });
      await target.close();
    });
  });
});

/** More than a connection holds that nobody reads. */
const LARGE = 32 * 1024 * 1024;

describe.each([
  {
    how: 'cut short',
    file: 'channel-1',
    change: (path: string) => truncateSync(path, 100_000),
    says: /become shorter.*offset \d+/,
  },
  {
    how: 'written to',
    file: 'channel-0',
    change: (path: string) => writeFileSync(path, 'x', { flag: 'r+' }),
    says: /has changed/,
  },
  {
    how: 'lengthened',
    file: 'main',
    change: (path: string) => writeFileSync(path, 'x', { flag: 'a' }),
    says: /has changed/,
  },
])('a recording of which $file is $how while it is played', ({ file, change, says }) => {
  test.each([true, false])(
    'is no whole migration to its target, and an error here (its stream has an end: %s)',
    async (complete) => {
      await withFolder((folder) =>
        leavingNothing(async () => {
          const { main, channels } = messages({
            returnPath: false,
            ...(!complete && { tail: new Uint8Array(0) }),
          });
          const path = await writeRecording(join(folder, 'rec'), {
            main,
            channels: [channels[0]!, [new Uint8Array(LARGE)]],
          });
          const times = new Date(1_000_000);
          for (const name of ['main', 'channel-0', 'channel-1'])
            utimesSync(join(path, name), times, times);
          // Nobody reads until all have come: most of the large channel is in its file then.
          const sockets: Socket[] = [];
          const got: number[] = [];
          const server = createServer({ pauseOnConnect: true }, (socket) => {
            const index = sockets.push(socket) - 1;
            got[index] = 0;
            socket.on('error', () => {}).on('data', (chunk) => void (got[index]! += chunk.length));
            if (sockets.length < 3) return;
            change(join(path, file));
            for (const each of sockets) each.resume();
          });
          await new Promise<void>((resolve) => server.listen(join(folder, 'socket'), resolve));
          const error = await errorOf(replay({ path, uri: `unix:${join(folder, 'socket')}` }));
          expect(error).toMatchObject({ code: 'ERR_IO', message: expect.stringMatching(says) });
          expect(error.message).toContain(join(path, file));
          await Promise.all(
            sockets.map((socket) => (socket.closed ? undefined : once(socket, 'close'))),
          );
          // Without the last byte of its main stream nobody takes a migration for complete.
          if (complete) expect(got[0]).toBeLessThan(concat(...main).length);
          await new Promise((resolve) => server.close(resolve));
        }),
      );
    },
  );

  test('is not reported on', async () => {
    await withFolder(async (folder) => {
      const path = await writeRecording(join(folder, 'rec'), messages());
      for (const name of ['main', 'channel-0', 'channel-1'])
        utimesSync(join(path, name), 1_000, 1_000);
      await beforeRead(2, () => appendFileSync(join(path, file), 'x'));
      expect(await errorOf(inspectRecording(path))).toMatchObject({
        code: 'ERR_IO',
        message: expect.stringContaining(join(path, file)),
      });
    });
  });
});

/** Before anything is sent, and when it is looked into. */
describe('what is no recording', () => {
  test.each<[string, (path: string) => Promise<unknown>, string]>([
    ['nothing there', (path) => rm(path, { recursive: true }), 'ERR_IO'],
    [
      'a plain file',
      async (path) => {
        await rm(path, { recursive: true });
        await writeFile(path, 'text');
      },
      'ERR_RECORDING',
    ],
    [
      'an empty folder',
      async (path) => {
        await rm(path, { recursive: true });
        await mkdir(path);
      },
      'ERR_RECORDING',
    ],
    ['no main channel', (path) => rm(join(path, 'main')), 'ERR_RECORDING'],
    ['a gap between the channels', (path) => rm(join(path, 'channel-0')), 'ERR_RECORDING'],
    [
      'a main channel that is a symbolic link',
      async (path) => {
        await rename(join(path, 'main'), `${path}-main`);
        await symlink(`${path}-main`, join(path, 'main'));
      },
      'ERR_RECORDING',
    ],
    [
      'a channel that is a folder',
      async (path) => {
        await rm(join(path, 'channel-1'));
        await mkdir(join(path, 'channel-1'));
      },
      'ERR_RECORDING',
    ],
    [
      'a channel that is a pipe nobody writes to',
      async (path) => {
        await rm(join(path, 'channel-1'));
        execFileSync('mkfifo', [join(path, 'channel-1')]);
      },
      'ERR_RECORDING',
    ],
    ['an empty main channel', (path) => truncate(join(path, 'main'), 0), 'ERR_PEER_CLOSED'],
    [
      'a main channel of text',
      (path) => writeFile(join(path, 'main'), 'some text or other'),
      'ERR_MAGIC',
    ],
    [
      'a main channel cut short in its configuration',
      (path) => truncate(join(path, 'main'), 14),
      'ERR_PEER_CLOSED',
    ],
  ])('%s', async (_, spoil, code) => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const path = await writeRecording(join(folder, 'rec'), messages());
        await spoil(path);
        const target = await Target.listen(join(folder, 'socket'));
        expect(await errorOf(replay({ path, uri: target.uri }))).toMatchObject({ code });
        expect(await errorOf(inspectRecording(path))).toMatchObject({ code });
        await target.close();
      }),
    );
  });

  test('files of other names are left alone', async () => {
    await withFolder(async (folder) => {
      const path = await writeRecording(join(folder, 'rec'), messages());
      for (const name of ['README.md', 'channel-256', 'channel-00', 'channel-7.bak', 'Main'])
        await writeFile(join(path, name), initialPacket(9));
      expect(await inspectRecording(path)).toMatchObject({
        problem: null,
        channels: [{ id: 0 }, { id: 1 }],
      });
    });
  });
});

test('a broken-off recording is played to its end, and its target decides', async () => {
  const { main, channels } = messages();
  const sent = {
    main: main.slice(0, 5),
    channels: [channels[0]!.slice(0, 1), channels[1]!.slice(0, 2)],
  };
  const { error } = await replaying(
    {},
    async (target) => {
      const wires = [await target.accept(), await target.accept(), await target.accept()];
      await Promise.all(wires.map((wire) => wire.rest())); // all of them end
      wires[0]!.put(shut(1));
    },
    sent,
  );
  expect(error).toMatchObject({ code: 'ERR_REMOTE' });
});
