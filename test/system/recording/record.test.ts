import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  inspectRecording,
  type MultifdError,
  record,
  type RecordingStatistics,
  type RecordOptions,
} from 'multifd';
import { describe, expect, test } from 'vitest';
import { errorOf, leavingNothing, withFolder } from '../../support/migration.ts';
import { watchOperations } from '../../support/file-operations.ts';
import { Source, Wire } from '../../support/peer.ts';
import {
  command,
  concat,
  devicePacket,
  endOfSection,
  header,
  initialPacket,
  normalPage,
  part,
  ramPacket,
  shut,
  start,
} from '../../support/wire.ts';
import { messages, writeRecording } from '../../support/recording.ts';

interface Outcome {
  error: MultifdError | undefined;
  statistics: RecordingStatistics | undefined;
  /** What is in the folder where the recording was to be. */
  left: string[];
}

/**
 * Records what `script` sends. What it returns is closed when the recorder has ended; `look` gets
 * the recording's path after that.
 */
function recording(
  options: Partial<RecordOptions>,
  script: (uri: string) => Promise<{ close(): Promise<void> }>,
  look: (path: string) => Promise<void> = async () => {},
): Promise<Outcome> {
  return withFolder((folder) =>
    leavingNothing(async () => {
      await mkdir(join(folder, 'out'));
      const path = join(folder, 'out', 'rec');
      const incoming = await record({
        uri: `unix:${folder}/socket`,
        path,
        timeout: 20_000,
        ...options,
      });
      const peer = await script(incoming.uri);
      const statistics = await incoming.completed.catch(() => undefined);
      const error = statistics === undefined ? await errorOf(incoming.completed) : undefined;
      await peer.close();
      await look(path);
      return { error, statistics, left: await readdir(join(folder, 'out')) };
    }),
  );
}

/** Sends all of it, and ends each connection. */
async function sendAll(source: Source, { main, channels } = messages()): Promise<void> {
  channels.forEach((parts, id) => source.channels[id]!.put(...parts.slice(1)));
  source.main.put(...main);
  for (const channel of source.channels) channel.end();
  source.main.end();
}

async function sameFiles(
  path: string,
  { main, channels }: { main: Uint8Array[]; channels: Uint8Array[][] },
): Promise<void> {
  expect(Buffer.compare(await readFile(join(path, 'main')), concat(...main))).toBe(0);
  for (const [id, parts] of channels.entries())
    expect(Buffer.compare(await readFile(join(path, `channel-${id}`)), concat(...parts))).toBe(0);
}

/** {@link messages}, 10 numbered packets, whose last one has pages along with its SYNC. */
function lastWithSync(number: number): ReturnType<typeof messages> {
  const { main, channels } = messages();
  const page = new Uint8Array(4096).fill(4);
  const last = ramPacket({ flags: 1, number, block: 'ram', normal: [9 * 4096] }, page);
  return { main, channels: [channels[0]!, [...channels[1]!.slice(0, -1), last]] };
}

describe('a source that goes through with it', () => {
  test('may pass over a number where pages go out with a SYNC, as QEMU 7.2 does', async () => {
    const sent = lastWithSync(10);
    const { left } = await recording(
      {},
      async (uri) => {
        const source = await Source.connect(uri, 2);
        await sendAll(source, sent);
        return source;
      },
      (path) => sameFiles(path, sent),
    );
    expect(left).toEqual(['rec']);
  });

  test('hears that all is well, and is kept as it came', async () => {
    const sent = messages();
    const { statistics, left } = await recording(
      {},
      async (uri) => {
        const source = await Source.connect(uri, 2);
        await sendAll(source, sent);
        expect(Buffer.compare(await source.main.rest(), shut(0))).toBe(0);
        return source;
      },
      async (path) => {
        await sameFiles(path, sent);
        expect((await readdir(path)).sort()).toEqual([
          'channel-0',
          'channel-0.times',
          'channel-1',
          'channel-1.times',
          'main',
          'main.times',
          'return-path',
        ]);
        expect(Buffer.compare(await readFile(join(path, 'return-path')), shut(0))).toBe(0);
        expect(await inspectRecording(path)).toMatchObject({
          problem: null,
          returnPath: true,
          answered: 0,
          compression: 'none',
          syncs: 3,
        });
      },
    );
    expect(left).toEqual(['rec']);
    expect(statistics).toMatchObject({
      transferred: concat(...sent.main, ...sent.channels.flat()).length,
      channels: [{ id: 0 }, { id: 1 }],
    });
  });

  test('each PING is answered at once', async () => {
    const { main, channels } = messages();
    await recording({}, async (uri) => {
      const source = await Source.connect(uri, 2);
      source.main.put(...main.slice(0, 2), command(2, Uint8Array.of(1, 2, 3, 4)));
      expect([...(await source.main.take(8))]).toEqual([0, 2, 0, 4, 1, 2, 3, 4]);
      await sendAll(source, { main: main.slice(2), channels });
      return source;
    });
  });

  test('without a return path it hears nothing', async () => {
    const { left } = await recording(
      {},
      async (uri) => {
        const source = await Source.connect(uri, 2);
        await sendAll(source, messages({ returnPath: false }));
        expect(await source.main.rest()).toHaveLength(0);
        return source;
      },
      async (path) =>
        expect(await inspectRecording(path)).toMatchObject({
          problem: null,
          returnPath: false,
          answered: null,
        }),
    );
    expect(left).toEqual(['rec']);
  });

  test('channels may come before the main one and when its stream has ended, in any order', async () => {
    const sent = messages();
    let seen = (): void => {};
    const both = new Promise<void>((resolve) => {
      seen = resolve;
    });
    let seenAll = (): void => {};
    const all = new Promise<void>((resolve) => {
      seenAll = resolve;
    });
    const { left } = await recording(
      {
        channels: 2,
        onProgress({ channels, 'precopy-bytes': bytes }) {
          if (channels.length === 2) seen();
          if (bytes === concat(...sent.main).length) seenAll();
        },
      },
      async (uri) => {
        const last = await Wire.open(uri);
        last.put(initialPacket(1));
        const main = await Wire.open(uri);
        main.put(...sent.main);
        await all; // the stream was read to its end
        const late = await Wire.open(uri);
        late.put(...sent.channels[0]!);
        late.end();
        await both;
        last.put(...sent.channels[1]!.slice(1));
        // Only now is there everything.
        expect(Uint8Array.from(await main.take(8))).toEqual(shut(0));
        last.end();
        main.end();
        return { close: async () => void [main, late, last].forEach((wire) => wire.destroy()) };
      },
      (path) => sameFiles(path, sent),
    );
    expect(left).toEqual(['rec']);
  });

  test('a migration without multifd is one file', async () => {
    const sent = { main: messages().main, channels: [] };
    await recording(
      {},
      async (uri) => {
        const source = await Source.connect(uri, 0);
        await sendAll(source, sent);
        return source;
      },
      (path) => sameFiles(path, sent),
    );
  });

  test('more than buffers hold goes through', async () => {
    const filler = Array.from({ length: 200 }, (_, number) =>
      ramPacket(
        { block: 'ram', number, normal: Array.from({ length: 16 }, (__, page) => page * 4096) },
        new Uint8Array(65536).fill(number),
      ),
    );
    const { main, channels } = messages();
    const sent = {
      main,
      channels: [[...channels[0]!.slice(0, 2), ...filler, ...channels[0]!.slice(2)], channels[1]!],
    };
    await recording(
      {},
      async (uri) => {
        const source = await Source.connect(uri, 2);
        await sendAll(source, sent);
        return source;
      },
      (path) => sameFiles(path, sent),
    );
  });
});

describe('what a source hears', () => {
  test(
    'that all is well comes when the recording has its name, and all channels are in it, not ' +
      'before',
    async () => {
      await withFolder((folder) =>
        leavingNothing(async () => {
          const sent = messages();
          const path = join(folder, 'rec');
          let seen = (): void => {};
          const all = new Promise<void>((resolve) => {
            seen = resolve;
          });
          const total = concat(...sent.main, ...sent.channels.flat()).length;
          const incoming = await record({
            uri: `unix:${folder}/socket`,
            path,
            timeout: 20_000,
            onProgress: ({ transferred }) => transferred >= total - 1 && seen(),
          });
          const source = await Source.connect(incoming.uri, 2);
          source.main.put(...sent.main);
          source.main.end();
          source.channels[0]!.put(...sent.channels[0]!.slice(1));
          const rest = concat(...sent.channels[1]!.slice(1));
          source.channels[1]!.put(rest.subarray(0, -1));
          await all;
          expect(existsSync(path)).toBe(false);
          source.channels[1]!.put(rest.subarray(-1));
          // Its channels are open still, as a source's are that waits for the word.
          expect(Uint8Array.from(await source.main.rest())).toEqual(shut(0));
          await sameFiles(path, sent);
          const late = devicePacket('state', 0, new Uint8Array(100).fill(7));
          source.channels[0]!.put(late);
          for (const channel of source.channels) channel.end();
          await incoming.completed;
          await source.close();
          await sameFiles(path, {
            main: sent.main,
            channels: [[...sent.channels[0]!, late], sent.channels[1]!],
          });
          expect(await inspectRecording(path)).toMatchObject({ problem: null, answered: 0 });
        }),
      );
    },
  );

  test('comes for channels whose packets are none as well: what comes on them is kept as it came', async () => {
    const { main, channels } = messages();
    const sent = {
      main,
      channels: [[channels[0]![0]!, new Uint8Array(500).fill(0xee)], channels[1]!],
    };
    const { left } = await recording(
      {},
      async (uri) => {
        const source = await Source.connect(uri, 2);
        await sendAll(source, sent);
        expect(Buffer.compare(await source.main.rest(), shut(0))).toBe(0);
        return source;
      },
      (path) => sameFiles(path, sent),
    );
    expect(left).toEqual(['rec']);
  });
});

describe('one connection too many is dropped and told, and the recording goes on', () => {
  test.each<[string, number | undefined, Uint8Array]>([
    ['a main channel', undefined, messages().main[0]!],
    ['a channel', undefined, initialPacket(1)],
    [
      'a channel of another VM, when all that were asked for are there',
      2,
      initialPacket(0, new Uint8Array(16).fill(7)),
    ],
  ])('%s', async (_, channels, bytes) => {
    const sent = messages();
    const rejected: string[] = [];
    const { left } = await recording(
      { onRejected: (why) => rejected.push(why), ...(channels !== undefined && { channels }) },
      async (uri) => {
        const source = await Source.connect(uri, 2);
        source.main.put(...sent.main.slice(0, 2), command(2, Uint8Array.of(1, 2, 3, 4)));
        await source.main.take(8);
        const unwanted = await Wire.open(uri);
        unwanted.put(bytes);
        await unwanted.dropped();
        sent.channels.forEach((parts, id) => source.channels[id]!.put(...parts.slice(1)));
        source.main.put(...sent.main.slice(2));
        source.main.end();
        expect(Uint8Array.from(await source.main.rest()).slice(-8)).toEqual(shut(0));
        for (const channel of source.channels) channel.end();
        return source;
      },
    );
    expect(left).toEqual(['rec']);
    expect(rejected).toHaveLength(1);
  });
});

describe('what does not fit', () => {
  const begin = async (uri: string, channels = 2): Promise<Source> => {
    const source = await Source.connect(uri, channels);
    source.main.put(...messages().main.slice(0, 3));
    return source;
  };
  /** As far as the first sync. */
  const begin2 = async (uri: string): Promise<Source> => {
    const source = await Source.connect(uri, 2);
    source.main.put(...messages().main.slice(0, 5));
    return source;
  };
  const alone = async (
    uri: string,
    ...packets: Uint8Array[]
  ): Promise<{ close(): Promise<void> }> => {
    const wires = await Promise.all(packets.map(() => Wire.open(uri)));
    wires.forEach((wire, i) => wire.put(packets[i]!));
    return { close: async () => wires.forEach((wire) => wire.destroy()) };
  };

  test.each<
    [string, Partial<RecordOptions>, (uri: string) => Promise<{ close(): Promise<void> }>, string]
  >([
    [
      'a channel beyond those asked for',
      { channels: 1 },
      (uri) => alone(uri, initialPacket(1)),
      'ERR_CHANNEL_ID',
    ],
    [
      'channels of two VMs',
      {},
      (uri) => alone(uri, initialPacket(0), initialPacket(1, new Uint8Array(16).fill(7))),
      'ERR_UUID',
    ],
    [
      'no channels, where some were asked for, and pages on the main channel',
      { channels: 2, timeout: 600_000 },
      async (uri) => {
        const source = await Source.connect(uri, 0);
        source.main.put(
          header(),
          concat(start([{ id: 'ram', length: 4096 }])),
          endOfSection(),
          part(),
          normalPage(0, new Uint8Array(4096).fill(1), 'ram'),
        );
        return source;
      },
      'ERR_CHANNEL_COUNT',
    ],
    [
      'fewer channels than asked for, before its end',
      { channels: 3, timeout: 600_000 },
      begin2,
      'ERR_CHANNEL_COUNT',
    ],
    [
      'a channel beyond those asked for, when all are there',
      { channels: 2 },
      async (uri) => {
        const source = await begin(uri);
        const more = await alone(uri, initialPacket(2));
        return { close: async () => void (await source.close(), await more.close()) };
      },
      'ERR_CHANNEL_ID',
    ],
    [
      'packets of a channel that did not come',
      {},
      async (uri) => {
        const source = await Source.connect(uri, 2);
        const { main, channels } = messages();
        await sendAll(source, {
          main,
          channels: [
            channels[0]!,
            [...channels[1]!.slice(0, -1), ramPacket({ flags: 1, number: 50 })],
          ],
        });
        return source;
      },
      'ERR_CHANNEL_COUNT',
    ],
    [
      'packets of a channel that did not come, by more than QEMU 7.2 may pass over',
      {},
      async (uri) => {
        const source = await Source.connect(uri, 2);
        await sendAll(source, lastWithSync(11));
        return source;
      },
      'ERR_CHANNEL_COUNT',
    ],
    [
      'another version of a channel',
      {},
      (uri) => alone(uri, Uint8Array.of(0x11, 0x22, 0x33, 0x44, 0, 0, 0, 2, ...new Uint8Array(56))),
      'ERR_VERSION',
    ],
    [
      'a main stream that is none',
      {},
      (uri) => alone(uri, concat(new TextEncoder().encode('QEVM'), new Uint8Array(100))),
      'ERR_VERSION',
    ],
    [
      'a source that goes',
      {},
      async (uri) => {
        const source = await begin(uri);
        await source.close();
        return source;
      },
      'ERR_PEER_CLOSED',
    ],
    ['a source that stalls', { timeout: 500 }, begin, 'ERR_TIMEOUT'],
    [
      'channels without their main one',
      { timeout: 500 },
      (uri) => alone(uri, initialPacket(0)),
      'ERR_TIMEOUT',
    ],
    [
      'fewer channels than asked for',
      { channels: 3 },
      async (uri) => {
        const source = await Source.connect(uri, 2);
        await sendAll(source);
        return source;
      },
      'ERR_CHANNEL_COUNT',
    ],
    [
      'a gap between the channels',
      {},
      async (uri) => {
        const channel = await Wire.open(uri);
        channel.put(initialPacket(1));
        channel.end();
        const source = await Source.connect(uri, 0);
        await sendAll(source, { ...messages(), channels: [] });
        return {
          close: async () => {
            channel.destroy();
            await source.close();
          },
        };
      },
      'ERR_CHANNEL_COUNT',
    ],
    [
      'connections that never end',
      { timeout: 500 },
      async (uri) => {
        const source = await Source.connect(uri, 2);
        source.main.put(...messages().main);
        return source;
      },
      'ERR_TIMEOUT',
    ],
  ])('%s', async (_, options, script, code) => {
    const { error, left } = await recording(options, script);
    expect(error).toMatchObject({ code });
    expect(left).toEqual([]);
  });

  test('a source with a return path hears of it', async () => {
    // What is not understood is kept all the same; but it has to come to an end.
    await recording({ timeout: 500 }, async (uri) => {
      const source = await begin(uri);
      source.main.put(new Uint8Array(100).fill(0xee));
      expect(Buffer.compare(await source.main.rest(), shut(1))).toBe(0);
      return source;
    });
  });

  test('cancelled, it leaves nothing', async () => {
    const controller = new AbortController();
    const { error, left } = await recording(
      {
        signal: controller.signal,
        onProgress: ({ transferred }) => transferred > 100 && controller.abort(),
      },
      begin,
    );
    expect(error).toMatchObject({ code: 'ERR_CANCELLED', name: 'AbortError' });
    expect(error?.cause).toBe(controller.signal.reason);
    expect(left).toEqual([]);
  });

  test('with keep, what came of a broken-off migration stays', async () => {
    const { main, channels } = messages();
    const sent = { main: main.slice(0, 7), channels: channels.map((parts) => parts.slice(0, 3)) };
    const { error, left } = await recording(
      { keep: true },
      async (uri) => {
        const source = await Source.connect(uri, 2);
        await sendAll(source, sent);
        return source;
      },
      async (path) => {
        await sameFiles(path, sent);
        expect(await inspectRecording(path)).toMatchObject({
          problem: { code: 'ERR_PEER_CLOSED', channel: 'main' },
          channels: [{ packets: 2 }, { packets: 2 }],
        });
      },
    );
    expect(error).toMatchObject({ code: 'ERR_PEER_CLOSED' });
    expect(left).toEqual(['rec']);
  });
});

describe('the folder', () => {
  const incoming = (path: string, options: Partial<RecordOptions> = {}) =>
    record({ uri: 'tcp:127.0.0.1:0', path, ...options });

  test.each([false, true])(
    'something else that is there is never replaced (force %s)',
    async (force) => {
      await withFolder(async (folder) => {
        await writeFile(join(folder, 'file'), 'precious');
        await writeRecording(join(folder, 'more'), messages());
        await writeFile(join(folder, 'more', 'notes'), 'precious');
        await writeRecording(join(folder, 'real'), messages());
        await symlink(join(folder, 'real'), join(folder, 'link'));
        const before = await readdir(folder);
        for (const name of ['file', 'more', 'link', '.', '..']) {
          expect(
            await errorOf(incoming(join(folder, 'x', '..', name), { force })),
            name,
          ).toMatchObject({ code: 'ERR_EXISTS' });
        }
        expect(await readdir(folder)).toEqual(before);
      });
    },
  );

  test('a recording is replaced with force only, and only by a whole one', async () => {
    await withFolder(async (folder) => {
      const path = await writeRecording(join(folder, 'rec'), {
        main: [Uint8Array.of(1)],
        channels: [],
      });
      await mkdir(join(folder, 'empty'));
      expect(await errorOf(incoming(path))).toMatchObject({ code: 'ERR_EXISTS' });
      expect(await errorOf(incoming(join(folder, 'empty')))).toMatchObject({ code: 'ERR_EXISTS' });
      for (const [target, whole] of [
        [path, false],
        [path, true],
        [join(folder, 'empty'), true],
      ] as const) {
        const started = await incoming(target, { force: true });
        const source = await Source.connect(started.uri, 2);
        if (whole) await sendAll(source);
        else {
          source.main.put(...messages().main.slice(0, 3));
          await source.close();
        }
        await started.completed.catch(() => {});
        await source.close();
        if (whole) await sameFiles(target, messages());
        else expect([...(await readFile(join(target, 'main')))]).toEqual([1]);
      }
      expect((await readdir(folder)).sort()).toEqual(['empty', 'rec']);
    });
  });

  test(
    'a name that was taken meanwhile is left to whoever took it, the source hears that it ' +
      'failed, and what came is kept under the name that the error says',
    async () => {
      await withFolder(async (folder) => {
        const path = join(folder, 'rec');
        const started = await incoming(path);
        await writeFile(path, 'precious');
        const source = await Source.connect(started.uri, 2);
        const sent = messages();
        sent.channels.forEach((parts, id) => source.channels[id]!.put(...parts.slice(1)));
        source.main.put(...sent.main);
        source.main.end();
        expect(Uint8Array.from(await source.main.rest())).toEqual(shut(1));
        await source.close();
        const error = await errorOf(started.completed);
        expect(error).toMatchObject({ code: 'ERR_EXISTS' });
        const [kept, ...others] = (await readdir(folder)).sort();
        expect(others).toEqual(['rec']);
        expect(error.message).toContain(join(folder, kept!));
        expect(await readFile(path, 'utf8')).toBe('precious');
        await sameFiles(join(folder, kept!), sent);
        expect(await inspectRecording(join(folder, kept!))).toMatchObject({
          problem: null,
          answered: null,
        });
      });
    },
  );

  test('an address that cannot be listened on leaves no folder', async () => {
    await withFolder(async (folder) => {
      expect(
        await errorOf(record({ uri: `unix:${folder}/no/socket`, path: join(folder, 'rec') })),
      ).toMatchObject({ code: 'ERR_LISTEN' });
      expect(
        await errorOf(record({ uri: `file:${folder}/x`, path: join(folder, 'rec') })),
      ).toMatchObject({ code: 'ERR_URI' });
      expect(await errorOf(incoming(join(folder, 'rec'), { channels: 257 }))).toMatchObject({
        code: 'ERR_OPTION',
      });
      expect(await errorOf(incoming(join(folder, 'no', 'rec')))).toMatchObject({ code: 'ERR_IO' });
      expect(await readdir(folder)).toEqual([]);
    });
  });

  test('a file that can not be put on the disk is one error of the recorder, whichever it is', async () => {
    let syncs = 0;
    for (let failing = 1; ; failing++) {
      let left = failing;
      const end = await watchOperations(({ name }) => {
        if (name === 'sync' && --left === 0) throw new Error('made to fail');
      });
      const { error } = await recording({}, async (uri) => {
        const source = await Source.connect(uri, 2);
        await sendAll(source);
        return source;
      })
        .catch((refused: MultifdError) => ({ error: refused }))
        .finally(end);
      if (left > 0) break;
      syncs++;
      expect(error).toMatchObject({
        code: 'ERR_IO',
        message: expect.stringContaining('made to fail'),
      });
    }
    // Of the folder it is in, its files, itself, its name, and what was told afterwards.
    expect(syncs).toBeGreaterThan(8);
  });
});
