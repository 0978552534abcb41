import { setImmediate as turn } from 'node:timers/promises';
import { MultifdError, receive } from 'multifd';
import { describe, expect, it } from 'vitest';
import { Source, Target, Wire } from '../../support/peer.ts';
import {
  be32,
  command,
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  initialPacket,
  openReturnPath,
  part,
  patched,
  ramPacket,
  start,
  syncPacket,
  text,
  zeroPage,
} from '../../support/wire.ts';
import {
  errorOf,
  leavingNothing,
  PAGE,
  pageOf,
  receiving,
  type SourceScript,
  withFolder,
} from '../../support/migration.ts';

const UUID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

/** Connections that say these bytes, in this order. */
const saying =
  (...beginnings: Uint8Array[]): SourceScript =>
  async (uri) => {
    const wires: Wire[] = [];
    for (const beginning of beginnings) {
      const wire = await Wire.open(uri);
      await wire.putAll(beginning);
      wires.push(wire);
    }
    return {
      async close() {
        for (const wire of wires) wire.destroy();
        await Promise.all(wires.map(({ closed }) => closed));
      },
    };
  };

const MAIN = header();
const START = concat(start([{ id: 'ram', length: PAGE }]), flush(), endOfSection());

describe('connections are refused', () => {
  it.each([
    {
      what: 'with another version',
      script: saying(patched(initialPacket(1), 4, be32(2))),
      code: 'ERR_VERSION',
      channel: 1,
      field: 'version',
    },
    {
      what: 'of another VM',
      script: saying(initialPacket(0, UUID)),
      code: 'ERR_UUID',
      channel: 0,
      field: 'uuid',
    },
    {
      what: 'of a VM without a uuid',
      script: saying(initialPacket(0)),
      code: 'ERR_UUID',
      channel: 0,
      field: 'uuid',
      options: { uuid: UUID },
    },
    {
      what: 'with a uuid that differs in its last byte',
      script: saying(initialPacket(0, patched(UUID, 15, Uint8Array.of(0)))),
      code: 'ERR_UUID',
      channel: 0,
      field: 'uuid',
      options: { uuid: UUID },
    },
    {
      what: 'with the first id that is out of range',
      script: saying(MAIN, initialPacket(0), initialPacket(2)),
      code: 'ERR_CHANNEL_ID',
      channel: 2,
      field: 'id',
    },
    {
      what: 'with the last id that is out of range',
      script: saying(initialPacket(255)),
      code: 'ERR_CHANNEL_ID',
      channel: 255,
      field: 'id',
    },
    {
      what: 'as a channel more than agreed',
      script: saying(MAIN, initialPacket(0), initialPacket(1), initialPacket(2)),
      code: 'ERR_CHANNEL_ID',
      channel: 2,
      field: 'id',
    },
    {
      what: 'as a channel too many when pages are on their way',
      script: saying(
        concat(MAIN, START),
        concat(initialPacket(0), syncPacket()),
        concat(initialPacket(1), syncPacket()),
        initialPacket(2),
      ),
      code: 'ERR_CHANNEL_ID',
      channel: 2,
      field: 'id',
    },
  ])('$what', async ({ script, code, channel, field, options = {} }) => {
    await leavingNothing(async () => {
      const { error, rejected } = await receiving(options, script);
      expect(error).toMatchObject({
        code,
        channel,
        ...(field !== undefined && { field, offset: 0 }),
      });
      expect(rejected).toEqual([]);
    });
  });

  it.each([
    {
      what: 'a channel',
      script: saying(MAIN, initialPacket(1)),
      message: '1 of 2 channels',
      channel: undefined,
    },
    {
      what: 'the main channel',
      script: saying(initialPacket(1), initialPacket(0)),
      message: 'main channel',
      channel: 'main' as const,
    },
  ])('when $what does not come in time', async ({ script, message, channel }) => {
    await leavingNothing(async () => {
      const { error } = await receiving({ timeout: 300 }, script);
      expect(error).toMatchObject({ code: 'ERR_CHANNEL_COUNT', channel });
      expect(error?.message).toContain(message);
    });
  });

  it('when all are there and nobody says anything', async () => {
    await leavingNothing(async () => {
      const { error } = await receiving({ timeout: 300 }, (uri) =>
        Source.connect(uri, 2).then((source) => (source.main.put(MAIN), source)),
      );
      expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
    });
  });

  it('when a channel falls silent in the middle of a packet', async () => {
    await leavingNothing(async () => {
      for (const inline of [true, false]) {
        const { error } = await receiving({ timeout: 300, inline }, async (uri) => {
          const source = await Source.connect(uri, 2);
          source.main.put(MAIN, start([{ id: 'ram', length: PAGE }]), flush(), endOfSection());
          source.channels[0]!.put(syncPacket().subarray(0, 700));
          return source;
        });
        expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
      }
    });
  });
});

describe('what is wrong with the source is said before the time-out, and what to set', () => {
  const NO_FLUSH = concat(start([{ id: 'ram', length: 16 * PAGE }]), endOfSection());
  it.each([
    {
      what: 'it has fewer channels',
      channels: 1,
      said: START,
      why: /^1 of 2 .* first sync .*set the same number at both ends.*multifd-channels 2; or 1 channels here/,
    },
    {
      what: 'it has fewer channels, with a sync per section',
      channels: 1,
      said: NO_FLUSH,
      why: /^1 of 2 .*multifd-channels 2/,
    },
  ])('$what', async ({ channels, said, why }) => {
    await leavingNothing(async () => {
      const { error } = await receiving({ timeout: 600_000 }, async (uri) => {
        const source = await Source.connect(uri, channels);
        source.toAll(syncPacket());
        source.main.put(MAIN, said);
        return source;
      });
      expect(error).toMatchObject({ code: 'ERR_CHANNEL_COUNT' });
      expect(error?.message).toMatch(why);
    });
  });

  it.each([
    { theirs: 65536, header: syncPacket(8) },
    { theirs: 1024, header: syncPacket(512) },
  ])('it has pages of $theirs bytes', async ({ theirs, header: bytes }) => {
    await leavingNothing(async () => {
      const { error } = await receiving({ timeout: 600_000, pageSize: PAGE }, async (uri) => {
        const source = await Source.connect(uri, 2);
        source.main.put(MAIN, START);
        source.channels[0]!.put(bytes.subarray(0, 276)); // no more than every header has
        return source;
      });
      expect(error).toMatchObject({ code: 'ERR_PACKET', field: 'pages_alloc', channel: 0 });
      expect(error?.message).toContain(`--page-size ${theirs}`);
    });
  });

  it(
    'a channel that comes late, through a proxy say, is waited for: also one behind zero pages ' +
      'of the main channel',
    async () => {
      const memory = new Uint8Array(PAGE).fill(1);
      await leavingNothing(async () => {
        const { error } = await receiving({ blocks: { ram: memory } }, async (uri) => {
          const main = await Wire.open(uri);
          await main.putAll(
            MAIN,
            start([{ id: 'ram', length: PAGE }]),
            endOfSection(),
            part(),
            zeroPage(0, 'ram'),
          );
          const channels = await Promise.all(
            [1, 0].map(async (id) => {
              const wire = await Wire.open(uri);
              wire.put(initialPacket(id), syncPacket(), syncPacket(), syncPacket());
              return wire;
            }),
          );
          main.put(endOfSection(), end(), endOfSection(), endOfFile());
          return { close: async () => void [main, ...channels].forEach((wire) => wire.destroy()) };
        });
        expect(error).toBeUndefined();
      });
      expect(memory).toEqual(pageOf(0));
    },
  );
});

describe('one connection too many is dropped and told, and the migration goes on', () => {
  const all = (uri: string): Promise<Source> => Source.connect(uri, 2);
  it.each<{ what: string; bytes: Uint8Array; before: number; why: string }>([
    {
      what: 'a main channel, before all are there',
      bytes: MAIN,
      before: 1,
      why: 'a second main channel',
    },
    {
      what: 'a channel, before all are there',
      bytes: initialPacket(0),
      before: 1,
      why: 'channel 0 arrived twice',
    },
    { what: 'a main channel', bytes: MAIN, before: 2, why: 'a second main channel' },
    { what: 'four bytes', bytes: text('QEVM'), before: 2, why: 'a second main channel' },
    { what: 'a channel', bytes: initialPacket(1), before: 2, why: 'channel 1 arrived twice' },
    { what: 'a channel of another VM', bytes: initialPacket(0, UUID), before: 2, why: 'uuid' },
    {
      what: 'a channel of another version',
      bytes: patched(initialPacket(0), 4, be32(9)),
      before: 2,
      why: 'version',
    },
  ])('$what', async ({ bytes, before, why }) => {
    const memory = new Uint8Array(PAGE);
    await leavingNothing(async () => {
      const { error, rejected } = await receiving({ blocks: { ram: memory } }, async (uri) => {
        const source = before === 2 ? await all(uri) : await Source.connect(uri, before);
        source.main.put(MAIN);
        await source.main.putAll(openReturnPath(), command(2, be32(1)));
        await source.main.take(8); // the main channel has been read
        const unwanted = await Wire.open(uri);
        unwanted.put(bytes);
        await unwanted.dropped();
        const missing = await Promise.all(
          Array.from({ length: 2 - before }, async (_, n) => {
            const wire = await Wire.open(uri);
            wire.put(initialPacket(before + n));
            return wire;
          }),
        );
        const channels = [...source.channels, ...missing];
        source.main.put(START);
        for (const channel of channels) channel.put(syncPacket());
        channels[1]!.put(ramPacket({ block: 'ram', normal: [0] }, pageOf(3)));
        for (const channel of channels) channel.put(syncPacket());
        source.main.put(part(), flush(), endOfSection(), end(), endOfSection(), endOfFile());
        return {
          close: async () => void (await source.close(), missing.forEach((wire) => wire.destroy())),
        };
      });
      expect(error).toBeUndefined();
      expect(rejected).toEqual([expect.stringContaining(why)]);
    });
    expect(memory).toEqual(pageOf(3));
  });

  it('a number that QEMU 7.2 passed over, when pages went out with a SYNC, is not missed', async () => {
    const memory = new Uint8Array(PAGE);
    await leavingNothing(async () => {
      const { error } = await receiving({ blocks: { ram: memory } }, async (uri) => {
        const source = await Source.connect(uri, 2);
        source.main.put(MAIN, START, part(), flush(), endOfSection());
        source.main.put(end(), endOfSection(), endOfFile());
        source.channels[0]!.put(
          ramPacket({ flags: 1, number: 0 }),
          ramPacket({ flags: 1, number: 3 }),
        );
        // Number 2 was given to the pages before the SYNC was asked for.
        source.channels[1]!.put(
          ramPacket({ flags: 1, number: 1 }),
          ramPacket({ flags: 1, number: 4, block: 'ram', normal: [0] }, pageOf(3)),
        );
        return source;
      });
      expect(error).toBeUndefined();
    });
    expect(memory).toEqual(pageOf(3));
  });

  it(
    'packets that a source has numbered, and that did not come, are missed: it has another ' +
      'channel',
    async () => {
      await leavingNothing(async () => {
        const { error } = await receiving(
          { blocks: { ram: new Uint8Array(PAGE) } },
          async (uri) => {
            const source = await Source.connect(uri, 2);
            source.main.put(
              MAIN,
              START,
              part(),
              flush(),
              endOfSection(),
              end(),
              endOfSection(),
              endOfFile(),
            );
            source.channels[0]!.put(
              ramPacket({ flags: 1, number: 0 }),
              ramPacket({ flags: 1, number: 3 }),
            );
            source.channels[1]!.put(
              ramPacket({ flags: 1, number: 1 }),
              ramPacket({ flags: 1, number: 4 }),
            );
            return source;
          },
        );
        expect(error).toMatchObject({ code: 'ERR_CHANNEL_COUNT' });
        expect(error?.message).toContain(
          '4 packets came on 2 channels, and the source has numbered 5',
        );
      });
    },
  );

  it(
    'two sources at once, whose connections are taken for those of one, fail: nothing of a ' +
      'mixture is said to be whole',
    async () => {
      const memory = new Uint8Array(PAGE);
      await leavingNothing(async () => {
        const { error, rejected } = await receiving({ blocks: { ram: memory } }, async (uri) => {
          const first = await Source.connect(uri, 0);
          first.main.put(
            MAIN,
            START,
            part(),
            flush(),
            endOfSection(),
            end(),
            endOfSection(),
            endOfFile(),
          );
          const others = [0, 1].map(async (id) => {
            const wire = await Wire.open(uri);
            wire.put(
              initialPacket(id),
              syncPacket(),
              ramPacket({ block: 'ram', number: 2, normal: [0] }, pageOf(7)),
              syncPacket(),
            );
            return wire;
          });
          const channels = await Promise.all(others);
          const second = await Wire.open(uri);
          second.put(MAIN);
          await second.dropped(); // and gives up
          channels[0]!.end();
          return {
            close: async () =>
              void (await first.close(), channels.forEach((wire) => wire.destroy())),
          };
        });
        expect(error).toMatchObject({ code: 'ERR_CHANNEL_COUNT', channel: 0 });
        expect(error?.message).toContain('two sources at once');
        expect(rejected).toHaveLength(1);
      });
    },
  );

  it.each([
    { what: 'a rejected connection', last: 3, code: undefined },
    { what: "the source's own, as its packets' numbers tell", last: 5, code: 'ERR_CHANNEL_ID' },
  ])(
    'a channel beyond those agreed on that comes a second after the first sync may be $what',
    async ({ last, code }) => {
      await leavingNothing(async () => {
        let begun = 0;
        const { error, rejected } = await receiving(
          { blocks: { ram: new Uint8Array(PAGE) } },
          async (uri) => {
            const source = await Source.connect(uri, 2);
            source.main.put(MAIN, START, openReturnPath(), command(2, be32(1)));
            source.channels[0]!.put(ramPacket({ flags: 1, number: 0 }));
            source.channels[1]!.put(ramPacket({ flags: 1, number: 1 }));
            await source.main.take(8);
            begun = performance.now();
            // until then it is an error at once
            while (performance.now() < begun + 1_100) await turn();
            const late = await Wire.open(uri);
            late.put(initialPacket(2));
            await late.dropped();
            source.channels[0]!.put(ramPacket({ flags: 1, number: 2 }));
            source.channels[1]!.put(ramPacket({ flags: 1, number: last }));
            source.main.put(part(), flush(), endOfSection(), end(), endOfSection(), endOfFile());
            source.main.ignore();
            return source;
          },
        );
        expect(error?.code).toBe(code);
        expect(rejected).toEqual([expect.stringContaining('beyond the number of channels')]);
      });
    },
  );
});

describe('a target that connects', () => {
  const options = { connect: true, blocks: { ram: new Uint8Array(PAGE) }, inline: true };

  it.each(['tcp', 'unix'])(
    'fails at once when its connections are dropped before anything was said, over %s',
    async (kind) => {
      await withFolder((folder) =>
        leavingNothing(async () => {
          const target = await Target.listen(kind === 'unix' ? `${folder}/socket` : undefined);
          const incoming = await receive({ ...options, uri: target.uri, timeout: 600_000 });
          for (let n = 0; n < 3; n++) (await target.accept()).destroy();
          expect(await errorOf(incoming.completed)).toMatchObject({ code: 'ERR_PEER_CLOSED' });
          await target.close();
        }),
      );
    },
  );

  it.each([
    {
      what: 'one of them is dropped',
      act: (wires: Wire[]) => wires[2]!.destroy(),
      code: 'ERR_PEER_CLOSED',
    },
    {
      what: 'one of them says something else',
      act: (wires: Wire[]) => wires[1]!.put(text('HTTP/1.1 400 Bad Request\r\n\r\n')),
      code: 'ERR_MAGIC',
    },
    {
      what: 'two of them say the same',
      act: (wires: Wire[]) => wires.slice(1).forEach((wire) => wire.put(initialPacket(0))),
      code: 'ERR_CHANNEL_ID',
    },
  ])('fails at once when $what', async ({ act, code }) => {
    await leavingNothing(async () => {
      const target = await Target.listen();
      const incoming = await receive({ ...options, uri: target.uri, timeout: 600_000 });
      const wires = [await target.accept(), await target.accept(), await target.accept()];
      wires[0]!.put(MAIN);
      act(wires);
      expect(await errorOf(incoming.completed)).toMatchObject({ code });
      await target.close();
    });
  });

  it('gives the source the time-out, from connecting on, to say anything', async () => {
    await leavingNothing(async () => {
      const target = await Target.listen();
      const incoming = await receive({ ...options, uri: target.uri, timeout: 300 });
      expect(await errorOf(incoming.completed)).toMatchObject({ code: 'ERR_TIMEOUT' });
      await target.close();
    });
  });
});

describe('rejected connections', () => {
  const garbage: [what: string, bytes: Uint8Array, why: string][] = [
    [
      'a web browser',
      text('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
      'not those of a migration',
    ],
    ['TLS', Uint8Array.of(0x16, 3, 1, 2, 0, 1), 'not those of a migration'],
    ['four zeros', new Uint8Array(4), 'not those of a migration'],
    [
      'a magic of the other byte order',
      Uint8Array.of(0x44, 0x33, 0x22, 0x11),
      'not those of a migration',
    ],
    ['a megabyte of anything', new Uint8Array(1 << 20).fill(0x5a), 'not those of a migration'],
  ];

  it.each(garbage)(
    '%s: dropped and told, and the migration that comes after is taken',
    async (_, bytes, why) => {
      const memory = new Uint8Array(PAGE);
      await leavingNothing(async () => {
        const { error, rejected } = await receiving({ blocks: { ram: memory } }, async (uri) => {
          const unwanted = await Wire.open(uri);
          unwanted.put(bytes);
          await unwanted.dropped();
          return migrate(uri);
        });
        expect(error).toBeUndefined();
        expect(rejected).toEqual([expect.stringContaining(why)]);
      });
      expect(memory).toEqual(pageOf(3));
    },
  );

  it(
    'who say nothing, or half an initial packet, are dropped after the time-out; listening ' +
      'goes on',
    async () => {
      const memory = new Uint8Array(PAGE);
      await leavingNothing(async () => {
        const { error, rejected } = await receiving(
          { blocks: { ram: memory }, timeout: 300 },
          async (uri) => {
            const silent = await Promise.all(
              [new Uint8Array(0), text('QEV'), initialPacket(0).subarray(0, 63)].map((bytes) =>
                saying(bytes)(uri),
              ),
            );
            const wires = await Promise.all([0, 1].map(() => Wire.open(uri)));
            await Promise.all(wires.map((wire) => wire.dropped()));
            await Promise.all(silent.map((peer) => peer.close()));
            return migrate(uri);
          },
        );
        expect(error).toBeUndefined();
        expect(rejected).toHaveLength(5);
        for (const why of rejected) expect(why).toContain('did not say what it is within 0.3 s');
      });
      expect(memory).toEqual(pageOf(3));
    },
  );

  it('who are still silent when the migration is under way are dropped without a word', async () => {
    await leavingNothing(async () => {
      const { error, rejected } = await receiving(
        { blocks: { ram: new Uint8Array(PAGE) } },
        async (uri) => {
          const silent = await Wire.open(uri);
          const source = await migrate(uri);
          await silent.dropped();
          return source;
        },
      );
      expect(error).toBeUndefined();
      expect(rejected).toEqual([]);
    });
  });

  it('do not disturb a migration that is under way', async () => {
    const memory = new Uint8Array(PAGE);
    await leavingNothing(async () => {
      const { error, rejected } = await receiving({ blocks: { ram: memory } }, async (uri) => {
        const source = await Source.connect(uri, 2);
        source.main.put(MAIN, START);
        source.toAll(syncPacket());
        const unwanted = await Wire.open(uri);
        unwanted.put(text('SSH-2.0-x\r\n'));
        await unwanted.dropped();
        finish(source);
        return source;
      });
      expect(error).toBeUndefined();
      expect(rejected).toHaveLength(1);
    });
    expect(memory).toEqual(pageOf(3));
  });
});

describe('listening', () => {
  it('on an address that is taken is refused, and leaves no image', async () => {
    await leavingNothing(async () => {
      await withFolder(async (folder) => {
        const first = await receive({
          uri: 'tcp:127.0.0.1:0',
          blocks: {},
          signal: AbortSignal.timeout(1_000),
        });
        expect(await errorOf(receive({ uri: first.uri, image: `${folder}/image` }))).toMatchObject({
          code: 'ERR_LISTEN',
        });
        expect(await errorOf(first.completed)).toMatchObject({ code: 'ERR_CANCELLED' });
      });
    });
  });

  it(
    'on the Unix socket of another process that listens is refused; on one left behind by the ' +
      'dead it is not',
    async () => {
      await withFolder(async (folder) => {
        const uri = `unix:${folder}/socket`;
        const abort = new AbortController();
        const first = await receive({ uri, blocks: {}, signal: abort.signal });
        expect(await errorOf(receive({ uri, blocks: {} }))).toMatchObject({ code: 'ERR_LISTEN' });
        abort.abort();
        expect(await errorOf(first.completed)).toBeInstanceOf(MultifdError);
        const stop = new AbortController();
        const second = await receive({ uri, blocks: {}, signal: stop.signal });
        stop.abort();
        expect(await errorOf(second.completed)).toMatchObject({ code: 'ERR_CANCELLED' });
      });
    },
  );
});

/** One page, over two channels. */
async function migrate(uri: string): Promise<Source> {
  const source = await Source.connect(uri, 2);
  source.main.put(MAIN, START);
  source.toAll(syncPacket());
  finish(source);
  return source;
}

/** All that comes after the first sync. */
function finish(source: Source): void {
  source.channels[1]!.put(ramPacket({ block: 'ram', normal: [0] }, pageOf(3)));
  source.toAll(syncPacket());
  source.main.put(part(), flush(), endOfSection(), end(), endOfSection(), endOfFile());
}
