import { setImmediate as turn } from 'node:timers/promises';
import { join } from 'node:path';
import { type ImageStore, receive, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { Source } from '../../support/peer.ts';
import {
  concat,
  devicePacket,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  openReturnPath,
  part,
  ramPacket,
  shut,
  start,
  syncPacket,
} from '../../support/wire.ts';
import {
  errorOf,
  type Incoming,
  LAUNCHERS,
  leavingNothing,
  type Outcome,
  PAGE,
  pageOf,
  receiving,
  withFolder,
} from '../../support/migration.ts';

const BEFORE = concat(
  start([{ id: 'ram', length: 16 * PAGE }]),
  flush(),
  endOfSection(),
  part(),
  flush(),
  endOfSection(),
);
const WHOLE = concat(BEFORE, end(), endOfSection(), endOfFile());

/** A source that sends one page and one piece of device state. */
async function play(uri: string, returnPath = true): Promise<Source> {
  const source = await Source.connect(uri, 2);
  source.main.put(header(), returnPath ? openReturnPath() : new Uint8Array(0), WHOLE);
  source.toAll(syncPacket());
  source.channels[1]!.put(
    ramPacket({ block: 'ram', normal: [3 * PAGE] }, pageOf(5)),
    devicePacket('globals', 1, pageOf(6, 10)),
  );
  source.toAll(syncPacket());
  return source;
}

/** What the target says to a source that has a return path, without the signs of life. */
async function heard(source: Source): Promise<Uint8Array> {
  const said = Uint8Array.from(await source.main.rest());
  source.main.end();
  return said.slice(-8);
}

function receivingOne(
  options: Omit<Incoming, 'blocks'>,
  script: (uri: string) => Promise<Source> = play,
): Promise<Outcome> {
  return receiving(
    { blocks: { ram: new Uint8Array(new SharedArrayBuffer(16 * PAGE)) }, ...options },
    script,
  );
}

describe.each(LAUNCHERS)('start, with $name', ({ inline }) => {
  it('comes when all is in place, and before the source hears of it', async () => {
    const events: string[] = [];
    const ram = new Uint8Array(new SharedArrayBuffer(16 * PAGE));
    await leavingNothing(async () => {
      const options: Incoming = {
        inline,
        blocks: { ram },
        onDeviceState: async ({ idstr }) => {
          await turn();
          events.push(idstr);
        },
        start: async () => {
          events.push(`start with ${ram[3 * PAGE]}`);
          for (let turns = 0; turns < 50; turns++) await turn();
          events.push('started');
        },
      };
      const { error } = await receiving({ uri: 'tcp:127.0.0.1:0', ...options }, async (uri) => {
        const source = await play(uri);
        for (
          let message = await source.main.take(8);
          message[1] !== 1;
          message = await source.main.take(8)
        )
          expect(message[1]).toBe(2); // signs of life
        events.push('heard');
        return source;
      });
      expect(error).toBeUndefined();
    });
    expect(events).toEqual(['globals', 'start with 5', 'started', 'heard']);
  });

  it('comes for a source without a return path as well', async () => {
    let starts = 0;
    await leavingNothing(async () => {
      const target = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        inline,
        blocks: { ram: target },
        start: () => void starts++,
      });
      await send({
        uri: incoming.uri,
        inline,
        blocks: [{ id: 'ram', source: pageOf(3) }],
        returnPath: false,
      });
      await incoming.completed;
    });
    expect(starts).toBe(1);
  });

  it.each([
    [
      'at once',
      () => {
        throw new Error('no such table');
      },
    ],
    [
      'later',
      async () => {
        await turn();
        throw new Error('no such table');
      },
    ],
  ])('that throws %s fails the migration with that, at both ends', async (_, fail) => {
    await leavingNothing(async () => {
      let said: Promise<Uint8Array> | undefined;
      const { error } = await receivingOne({ inline, start: fail }, async (uri) => {
        const source = await play(uri);
        said = heard(source);
        await said;
        return source;
      });
      expect(error).toMatchObject({
        code: 'ERR_INTERNAL',
        message: 'no such table',
        cause: expect.any(Error),
      });
      expect(await said).toEqual(shut(1));
    });
  });

  it.each<[string, string, (source: Source) => void]>([
    ['is reset', 'tcp:127.0.0.1:0', ({ main }) => main.reset()],
    ['is closed', 'tcp:127.0.0.1:0', ({ main }) => main.destroy()],
    ['is closed, over unix', '', ({ main }) => main.destroy()],
  ])(
    'has the last word: the connection that %s under it fails nothing, and the result says ' +
      'that the source may go on as well',
    async (_, uri, hangUp) => {
      await leavingNothing(async () => {
        let source: Source | undefined;
        let breakOff = (): void => {};
        const broken = new Promise<void>((resolve) => (breakOff = resolve));
        const start = async (): Promise<void> => {
          hangUp(source!);
          await source!.main.closed;
          for (let turns = 0; turns < 50; turns++) await turn();
          breakOff();
        };
        const { error, statistics } = await receivingOne(
          { inline, start, ...(uri !== '' && { uri }) },
          async (where) => {
            source = await play(where);
            source.main.end(); // as a source does that has said all it has to say
            return source;
          },
        );
        await broken;
        expect(error).toBeUndefined();
        expect(statistics).toMatchObject({ confirmed: false });
      });
    },
  );

  it.each([true, false])(
    'that comes to its end says whether the source was told: with a return path %s',
    async (returnPath) => {
      await leavingNothing(async () => {
        const { error, statistics } = await receivingOne({ inline, start() {} }, async (uri) => {
          const source = await play(uri, returnPath);
          source.main.end();
          source.main.ignore();
          return source;
        });
        expect(error).toBeUndefined();
        expect(statistics).toMatchObject({ confirmed: returnPath ? true : null });
      });
    },
  );

  it(
    'does not come while onDeviceState never ends: such a target is given up when its source ' +
      'has gone, or it is cancelled',
    async () => {
      await leavingNothing(async () => {
        for (const code of ['ERR_PEER_CLOSED', 'ERR_CANCELLED'] as const) {
          const cancel = new AbortController();
          let source: Source | undefined;
          let starts = 0;
          const onDeviceState = (): Promise<void> => {
            if (code === 'ERR_CANCELLED') setImmediate(() => cancel.abort());
            else source!.main.destroy();
            return new Promise(() => {});
          };
          const { error } = await receivingOne(
            { inline, signal: cancel.signal, onDeviceState, start: () => void starts++ },
            async (where) => {
              source = await play(where);
              source.main.end();
              source.main.ignore();
              return source;
            },
          );
          expect(error).toMatchObject({ code });
          expect(starts).toBe(0);
        }
      });
    },
  );

  it(
    'does not come while blocks, a function, never answers: the time-out holds, as it does for ' +
      'a slow source',
    async () => {
      await leavingNothing(async () => {
        const { error } = await receiving(
          { inline, timeout: 300, blocks: () => new Promise<never>(() => {}), start() {} },
          play,
        );
        expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
      });
    },
  );

  it('that throws after the connection broke is what failed', async () => {
    await leavingNothing(async () => {
      let source: Source | undefined;
      const start = async (): Promise<void> => {
        source!.main.reset();
        await source!.main.closed;
        for (let turns = 0; turns < 50; turns++) await turn();
        throw new Error('no such table');
      };
      const { error } = await receivingOne(
        { uri: 'tcp:127.0.0.1:0', inline, start },
        async (uri) => (source = await play(uri)),
      );
      expect(error).toMatchObject({ message: 'no such table' });
    });
  });

  it.each<[string, string, (source: Source) => void]>([
    ['was reset', 'tcp:127.0.0.1:0', ({ main }) => main.reset()],
    ['was closed', 'tcp:127.0.0.1:0', ({ main }) => main.destroy()],
    ['was closed, over unix', '', ({ main }) => main.destroy()],
  ])('does not come when the connection to the source %s', async (_, uri, hangUp) => {
    await leavingNothing(async () => {
      let source: Source | undefined;
      let starts = 0;
      const onDeviceState = async (): Promise<void> => {
        hangUp(source!);
        await source!.main.closed;
        for (let turns = 0; turns < 50; turns++) await turn();
      };
      const { error } = await receivingOne(
        { inline, onDeviceState, start: () => void starts++, ...(uri === '' ? {} : { uri }) },
        async (where) => {
          source = await play(where);
          source.main.end(); // as a source does that has said all it has to say
          return source;
        },
      );
      expect(error).toMatchObject({ code: 'ERR_PEER_CLOSED', channel: 'main' });
      expect(starts).toBe(0);
    });
  });

  it('does not come when the migration is cancelled before', async () => {
    await leavingNothing(async () => {
      const cancel = new AbortController();
      let said: Promise<Uint8Array> | undefined;
      let starts = 0;
      const { error } = await receivingOne(
        {
          inline,
          signal: cancel.signal,
          onDeviceState: () => cancel.abort(),
          start: () => void starts++,
        },
        async (uri) => {
          const source = await play(uri);
          said = heard(source);
          return source;
        },
      );
      expect(error).toMatchObject({ code: 'ERR_CANCELLED' });
      expect(await said).toEqual(shut(1));
      expect(starts).toBe(0);
    });
  });

  it('does not come when anything fails before', async () => {
    await leavingNothing(async () => {
      let starts = 0;
      const start = (): void => void starts++;
      const onDeviceState = (): void => {
        throw new Error('no such global');
      };
      expect((await receivingOne({ inline, start, onDeviceState })).error).toMatchObject({
        message: 'no such global',
      });
      const { error } = await receivingOne({ inline, start }, async (uri) => {
        const source = await Source.connect(uri, 2);
        source.main.put(header(), BEFORE);
        source.toAll(syncPacket(), syncPacket());
        source.main.end();
        return source;
      });
      expect(error).toMatchObject({ code: 'ERR_PEER_CLOSED' });
      expect(starts).toBe(0);
    });
  });
});

describe('an image', () => {
  it.each([
    ['is there', true],
    ['has gone meanwhile', false],
  ])('that is complete when its source %s', async (_, there) => {
    await leavingNothing(async () => {
      let source: Source | undefined;
      const store: ImageStore = {
        begin: ({ blocks }) => blocks.map(() => ({ write() {}, zero() {} })),
        async commit() {
          if (there) return;
          source!.main.destroy();
          await source!.main.closed;
        },
        discard() {},
      };
      const incoming = await receive({ uri: 'tcp:127.0.0.1:0', image: store });
      source = await play(incoming.uri);
      source.main.end();
      if (there) source.main.ignore();
      expect(await incoming.completed).toMatchObject({ confirmed: there });
      await source.close();
    });
  });
});

describe('start, with an image', () => {
  const state = { idstr: 'globals', instanceId: 0, data: Uint8Array.of(1) };

  it('comes when it is loaded, last; what it throws, and a signal before it, fail the load', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const uri = `file:${join(folder, 'image')}`;
        await send({
          uri,
          blocks: [{ id: 'ram', source: pageOf(5, 20 * PAGE) }],
          deviceState: [state],
        });
        const events: string[] = [];
        const memory = new WebAssembly.Memory({ initial: 0, maximum: 10 });
        const load = {
          uri,
          blocks: { ram: memory },
          onDeviceState: ({ idstr }: { idstr: string }) => void events.push(idstr),
        };
        await (
          await receive({
            ...load,
            start: async () =>
              void events.push(`start with ${new Uint8Array(memory.buffer)[20 * PAGE - 1]}`),
          })
        ).completed;
        expect(events).toEqual(['globals', 'start with 5']);

        const failing = () => {
          throw new Error('no such table');
        };
        expect(await errorOf((await receive({ ...load, start: failing })).completed)).toMatchObject(
          { message: 'no such table' },
        );

        const cancel = new AbortController();
        const cancelling = {
          ...load,
          signal: cancel.signal,
          onDeviceState: () => cancel.abort(),
          start: () => void events.push('start'),
        };
        expect(await errorOf((await receive(cancelling)).completed)).toMatchObject({
          code: 'ERR_CANCELLED',
        });
        expect(events).not.toContain('start');
      }),
    );
  });

  it('that is written is refused at once', async () => {
    await withFolder(async (folder) => {
      for (const uri of [`unix:${folder}/socket`, `file:${folder}/image`]) {
        const error = await errorOf(receive({ uri, image: join(folder, 'copy'), start() {} }));
        expect(error).toMatchObject({ code: 'ERR_OPTION' });
      }
    });
  });

  it('whose source hears that, and has gone before we end our half, has told it', async () => {
    await withFolder(async (folder) => {
      const store: ImageStore = {
        begin: ({ blocks }) => blocks.map(() => ({ write() {}, zero() {} })),
        commit() {},
        discard() {},
      };
      const incoming = await receive({ uri: `unix:${folder}/socket`, image: store });
      const source = await play(incoming.uri);
      source.main.end();
      await source.main.take(8); // SHUT
      source.main.destroy();
      expect(await incoming.completed).toMatchObject({ confirmed: true });
      await source.close();
    });
  });
});
