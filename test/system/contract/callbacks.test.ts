import { connect as connectSocket } from 'node:net';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import {
  extractBlock,
  Guest,
  inspectImage,
  MultifdError,
  openImage,
  proxy,
  receive,
  record,
  replay,
  send,
  type DeviceState,
  type GuestOptions,
  type ImageStore,
  type IncomingOptions,
  type OutgoingOptions,
  type PageSink,
} from 'multifd';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { errorOf, leavingNothing, PAGE, pageOf, withFolder } from '../../support/migration.ts';

/** Functions of the caller's that fail: what that changes, and what it must not. */

const WHY = 'the caller has made a mistake';
const FAILING = [
  [
    'throws',
    (): never => {
      throw new Error(WHY);
    },
  ],
  [
    'rejects',
    async (): Promise<never> => {
      throw new Error(WHY);
    },
  ],
] as const;

const unhandled: unknown[] = [];
const warnings: Error[] = [];
const note = (reason: unknown): void => void unhandled.push(reason);
const noteWarning = (warning: Error): void => void warnings.push(warning);
beforeEach(() => {
  unhandled.length = 0;
  warnings.length = 0;
  process.on('unhandledRejection', note);
  process.on('uncaughtException', note);
  process.on('warning', noteWarning);
});
afterEach(async () => {
  await turn();
  process.off('unhandledRejection', note);
  process.off('uncaughtException', note);
  process.off('warning', noteWarning);
  expect(unhandled).toEqual([]);
});

/** How often it was warned of a function: that comes a moment later. */
async function warned(name: string): Promise<number> {
  await turn();
  return warnings.filter(
    ({ message, cause }) =>
      message.startsWith(`${name} has failed`) && (cause as Error).message === WHY,
  ).length;
}

/** Whether it was told of what the caller's function threw. */
function tells(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return (
    error.message.includes(WHY) ||
    tells(error.cause) ||
    (error instanceof AggregateError && error.errors.some(tells))
  );
}

const PAGES = 64;
const filled = (): Uint8Array => pageOf(7, PAGES * PAGE);
const sharedMemory = (): WebAssembly.Memory =>
  new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });

type Source = Partial<OutgoingOptions>;
type Target = Partial<IncomingOptions>;

/** A migration from one end to the other. */
async function migrate(
  source: Source,
  target: Target,
): Promise<{ atSource: MultifdError | undefined; atTarget: MultifdError | undefined }> {
  const incoming = await receive({
    uri: 'tcp:127.0.0.1:0',
    ...(target.image === undefined && { blocks: { ram: new Uint8Array(PAGES * PAGE) } }),
    ...target,
  });
  const sent = send({
    ...(source.connect === undefined && { uri: incoming.uri }),
    blocks: [{ id: 'ram', source: filled() }],
    ...source,
  });
  const [atSource, atTarget] = await Promise.allSettled([sent, incoming.completed]);
  return { atSource: reasonOf(atSource), atTarget: reasonOf(atTarget) };
}

function reasonOf(result: PromiseSettledResult<unknown>): MultifdError | undefined {
  if (result.status === 'fulfilled') return undefined;
  expect(result.reason).toBeInstanceOf(MultifdError);
  return result.reason as MultifdError;
}

describe.each(FAILING)('an observer that %s changes nothing, and is a warning', (_, fail) => {
  test.each([true, false])('onProgress of both ends, inline %s', (inline) =>
    leavingNothing(async () => {
      expect(await migrate({ inline, onProgress: fail }, { inline, onProgress: fail })).toEqual({
        atSource: undefined,
        atTarget: undefined,
      });
      // One of each end, however often it was called.
      expect(await warned('onProgress')).toBe(2);
    }),
  );

  test(
    'onProgress into a file and out of it, of an image that is extracted, of a recording and ' +
      'when it is replayed',
    () =>
      withFolder(async (folder) => {
        const image = join(folder, 'image');
        await send({
          uri: `file:${image}`,
          blocks: [{ id: 'ram', source: filled() }],
          onProgress: fail,
        });
        await (
          await receive({
            uri: `file:${image}`,
            blocks: { ram: new Uint8Array(PAGES * PAGE) },
            onProgress: fail,
          })
        ).completed;
        expect(await extractBlock(image, 'ram', join(folder, 'block'), { onProgress: fail })).toBe(
          PAGES * PAGE,
        );
        const recording = await record({
          uri: 'tcp:127.0.0.1:0',
          path: join(folder, 'recording'),
          onProgress: fail,
        });
        await send({ uri: recording.uri, blocks: [{ id: 'ram', source: filled() }] });
        await recording.completed;
        const incoming = await receive({
          uri: 'tcp:127.0.0.1:0',
          blocks: { ram: new Uint8Array(PAGES * PAGE) },
        });
        await replay({ uri: incoming.uri, path: join(folder, 'recording'), onProgress: fail });
        await incoming.completed;
        expect(await warned('onProgress')).toBe(5);
      }),
  );

  test.each([true, false])('onRound and onProgress of a guest, inline %s', (inline) =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const incoming = await receive({
          uri: 'tcp:127.0.0.1:0',
          inline,
          blocks: { ram: sharedMemory() },
        });
        let runs = true;
        const guest = new Guest({
          blocks: [{ id: 'ram', memory: sharedMemory() }],
          stop: () => void (runs = false),
          resume: () => void (runs = true),
        });
        const path = join(folder, 'snapshot');
        await guest.snapshot({ path, inline, onRound: fail, onProgress: fail });
        expect(runs).toBe(true);
        expect((await inspectImage(path)).blocks).toHaveLength(1);
        await guest.migrate({ uri: incoming.uri, inline, onRound: fail, onProgress: fail });
        await incoming.completed;
        expect(runs).toBe(false);
        expect([await warned('onRound'), await warned('onProgress')]).toEqual([2, 2]);
      }),
    ),
  );

  test('onRejected of a target, a source that listens, a recorder and a proxy', () =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const unwanted = async (uri: string): Promise<void> => {
          const [, host, port] = /^tcp:(.*):(\d+)$/.exec(uri)!;
          const socket = connectSocket({ host: host!, port: Number(port) }).on('error', () => {});
          socket.write('GET / HTTP/1.1\r\n\r\n');
          await once(socket.resume(), 'close');
        };
        const target = await receive({
          uri: 'tcp:127.0.0.1:0',
          blocks: { ram: new Uint8Array(PAGES * PAGE) },
          onRejected: fail,
        });
        await unwanted(target.uri);
        await send({ uri: target.uri, blocks: [{ id: 'ram', source: filled() }] });
        await target.completed;

        const recording = await record({
          uri: 'tcp:127.0.0.1:0',
          path: join(folder, 'recording'),
          onRejected: fail,
        });
        await unwanted(recording.uri);
        const joined = await proxy({
          from: 'tcp:127.0.0.1:0',
          to: recording.uri,
          maxConnections: 5,
          onRejected: fail,
        });
        await send({ uri: joined.uri, blocks: [{ id: 'ram', source: filled() }] });
        await recording.completed;
        await unwanted(joined.uri); // nobody is there any more that it could be passed on to
        await joined.close();

        // One that waits, and another that is one too many.
        let at = (_uri: string): void => {};
        const listening = new Promise<string>((resolve) => (at = resolve));
        const sent = send({
          uri: 'ws://127.0.0.1:0/',
          listen: true,
          token: 'right',
          onListening: at,
          onRejected: fail,
          blocks: [{ id: 'ram', source: filled() }],
        });
        const uri = await listening;
        await errorOf(receive({ uri, token: 'wrong', connect: true, blocks: {} }));
        await (
          await receive({
            uri,
            token: 'right',
            connect: true,
            blocks: { ram: new Uint8Array(PAGES * PAGE) },
          })
        ).completed;
        await sent;
        expect(await warned('onRejected')).toBe(4);
      }),
    ));

  test('the last onProgress of a migration that fails: its error stays', async () => {
    const { atSource, atTarget } = await migrate(
      { onProgress: fail },
      { onProgress: fail, maxBytes: PAGE },
    );
    expect(atSource).toMatchObject({ code: 'ERR_REMOTE' });
    expect(atTarget).toMatchObject({ code: 'ERR_BLOCK_LENGTH' });
  });

  test("close() of an image of the caller's own", () =>
    withFolder(async (folder) => {
      const path = join(folder, 'image');
      await send({ uri: `file:${path}`, blocks: [{ id: 'ram', source: filled() }] });
      const image = await openImage(path);
      await image.close();
      const { readFile } = await import('node:fs/promises');
      const bytes = await readFile(path);
      const access = {
        name: 'mine',
        size: bytes.length,
        async read(offset: number, into: Uint8Array) {
          const piece = bytes.subarray(offset, offset + into.length);
          into.set(piece);
          return piece.length;
        },
        close: fail as () => Promise<void>,
      };
      expect((await inspectImage(access)).blocks).toHaveLength(1);
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { ram: new Uint8Array(PAGES * PAGE) },
      });
      await send({ uri: incoming.uri, image: access });
      await incoming.completed;
      await writeFile(join(folder, 'none'), 'no image');
      expect(
        await errorOf(inspectImage({ ...access, size: 8, read: async () => 0 })),
      ).not.toMatchObject({ code: 'ERR_INTERNAL' });
      expect(await warned('close() of mine')).toBe(3);
    }));
});

describe.each(FAILING)('what takes part and %s fails the migration, at both ends', (_, fail) => {
  const one: DeviceState = { idstr: 'cpu', instanceId: 0, data: pageOf(1, 10) };
  const sink = (more: Partial<PageSink>): PageSink => ({ write() {}, zero() {}, ...more });
  const store = (more: Partial<ImageStore>): ImageStore => ({
    begin: ({ blocks }) => blocks.map(() => sink({})),
    commit() {},
    discard() {},
    ...more,
  });

  test.each<[string, Source]>([
    ['connect', { connect: fail }],
    ['connect of a channel', { connect: (channel) => (channel === 'main' ? undefined! : fail()) }],
    [
      'deviceState',
      { deviceState: { [Symbol.asyncIterator]: () => ({ next: async () => fail() }) } },
    ],
    [
      'deviceState, its iterator',
      { deviceState: { [Symbol.iterator]: fail as () => never } as Iterable<DeviceState> },
    ],
    ['read', { blocks: [{ id: 'ram', source: { byteLength: PAGES * PAGE, read: fail } }] }],
    ['createWorker', { inline: false, createWorker: fail }],
  ])('at the source: %s', (name, options) =>
    leavingNothing(async () => {
      const { atSource, atTarget } = await migrate(options, {
        timeout: 2_000,
        ...(name.startsWith('connect') && { signal: AbortSignal.timeout(500) }),
      });
      // A promise where there is to be an iterator, or a worker, says so.
      const refused =
        (name === 'createWorker' || name === 'deviceState, its iterator') &&
        atSource?.code === 'ERR_OPTION';
      if (name !== 'connect of a channel') expect(tells(atSource) || refused).toBe(true);
      expect([atSource, atTarget]).toEqual([expect.any(MultifdError), expect.any(MultifdError)]);
    }),
  );

  test('at the source: onListening, which leaves nothing listening', () =>
    leavingNothing(async () => {
      const error = await errorOf(
        send({
          uri: 'tcp:127.0.0.1:0',
          listen: true,
          onListening: fail,
          blocks: [{ id: 'ram', source: filled() }],
        }),
      );
      expect(tells(error)).toBe(true);
    }));

  test.each<[string, Target]>([
    ['blocks', { blocks: fail }],
    ['onDeviceState', { onDeviceState: fail }],
    ['start', { start: fail }],
    ['write of a sink', { blocks: { ram: sink({ write: fail }) } }],
    ['zero of a sink', { blocks: { ram: sink({ zero: fail }) } }],
    ['begin of a store', { image: store({ begin: fail, discard: fail }) }],
    ['commit of a store', { image: store({ commit: fail, discard: fail }) }],
    ['createWorker', { inline: false, blocks: { ram: sharedMemory() }, createWorker: fail }],
  ])('at the target: %s', (name, options) =>
    leavingNothing(async () => {
      const source = {
        deviceState: [one],
        blocks: [
          {
            id: 'ram',
            source: name === 'zero of a sink' ? new Uint8Array(PAGES * PAGE) : filled(),
          },
        ],
      };
      const { atSource, atTarget } = await migrate(source, options);
      expect(tells(atTarget) || (name === 'createWorker' && atTarget?.code === 'ERR_OPTION')).toBe(
        true,
      );
      expect(atSource).toMatchObject({ code: expect.stringMatching(/ERR_REMOTE|ERR_PEER_CLOSED/) });
    }),
  );

  test("a store's discard() does not hide why it is called", async () => {
    const { atTarget } = await migrate({}, { image: store({ discard: fail }), maxBytes: PAGE });
    expect(atTarget).toMatchObject({ code: 'ERR_BLOCK_LENGTH' });
    expect(await warned('discard() of the image store')).toBe(1);
  });

  const memories = {
    shared: sharedMemory,
    'not shared': () => new WebAssembly.Memory({ initial: 4 }),
  } as const;
  describe.each(['shared', 'not shared'] as const)('of a guest in memory that is %s', (kind) => {
    // Shared memory is looked at by threads, which must not be left.
    const inline = kind !== 'shared';
    const migrating = async (
      options: Partial<GuestOptions>,
    ): Promise<{ error: MultifdError; resumed: number }> => {
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        inline,
        blocks: { ram: memories[kind]() },
      });
      let resumed = 0;
      const guest = new Guest({
        blocks: [{ id: 'ram', memory: memories[kind]() }],
        stop() {},
        ...options,
        resume: options.resume ?? (() => void resumed++),
      });
      const error = await errorOf(guest.migrate({ uri: incoming.uri, inline }));
      await errorOf(incoming.completed);
      return { error, resumed };
    };

    test.each<[string, Partial<GuestOptions>]>([
      ['stop', { stop: fail }],
      ['deviceState', { deviceState: fail as () => never }],
      [
        'deviceState, its iterator',
        {
          deviceState: async function* () {
            await fail();
          },
        },
      ],
    ])('%s: it goes on here', (name, options) =>
      leavingNothing(async () => {
        const { error, resumed } = await migrating(options);
        // A promise where there is to be an iterable says so.
        expect(tells(error) || (name === 'deviceState' && error.code === 'ERR_OPTION')).toBe(true);
        expect(resumed).toBe(1);
      }),
    );

    test('check: it was never stopped', () =>
      leavingNothing(async () => {
        const { error, resumed } = await migrating({ check: fail });
        expect(tells(error)).toBe(true);
        expect(resumed).toBe(0);
      }));

    test('a dirty log', () =>
      leavingNothing(async () => {
        const { error } = await migrating({
          blocks: [
            { id: 'ram', memory: memories[kind](), tracking: { take: fail as () => undefined } },
          ],
        });
        expect(tells(error) || error.code === 'ERR_OPTION').toBe(true);
      }));

    test('resume: the first error stays the error, and it is said that the program may not run', () =>
      leavingNothing(async () => {
        const { error } = await migrating({
          stop: () => Promise.reject(new MultifdError('ERR_GUEST', 'it can not be stopped')),
          resume: fail,
        });
        expect(error).toMatchObject({
          code: 'ERR_GUEST',
          message: expect.stringMatching(
            /^it can not be stopped; and then resume\(\) failed, so that the program may not run any more: /,
          ),
        });
        expect((error.cause as AggregateError).errors.map(({ message }: Error) => message)).toEqual(
          ['it can not be stopped', expect.stringContaining(WHY)],
        );
        expect(tells(error)).toBe(true);
      }));

    test('resume after a snapshot: no snapshot, and it is said that the program may not run', () =>
      withFolder((folder) =>
        leavingNothing(async () => {
          const guest = new Guest({
            blocks: [{ id: 'ram', memory: memories[kind]() }],
            stop() {},
            resume: fail,
          });
          const error = await errorOf(guest.snapshot({ path: join(folder, 'snapshot') }));
          expect(error.message).toMatch(/the program may not run/);
          expect(tells(error)).toBe(true);
        }),
      ));

    test('throttle, also when it is to be let go: the program is resumed all the same', () =>
      leavingNothing(async () => {
        const memory = memories[kind]();
        const bytes = new Uint8Array(memory.buffer);
        // Changes all of its memory for as long as it is asked for rounds, so that it is throttled.
        let value = 0;
        const write = (): void => void bytes.fill(++value);
        let throttled = 0;
        const throttle = (share: number): unknown => (throttled++, share === 0 ? fail() : write());
        const incoming = await receive({
          uri: 'tcp:127.0.0.1:0',
          blocks: { ram: memories[kind]() },
        });
        let resumed = 0;
        const guest = new Guest({
          blocks: [{ id: 'ram', memory }],
          stop: () => Promise.reject(new MultifdError('ERR_GUEST', 'it can not be stopped')),
          resume: () => void resumed++,
          throttle: throttle as () => void,
        });
        const error = await errorOf(
          guest.migrate({
            uri: incoming.uri,
            inline,
            autoConverge: true,
            downtimeLimit: 0,
            maxRounds: 5,
            onMaxRounds: 'stop',
            onRound: write,
          }),
        );
        await errorOf(incoming.completed);
        expect(throttled).toBeGreaterThan(1);
        expect(resumed).toBe(1);
        expect(error).toMatchObject({
          code: 'ERR_GUEST',
          message: expect.stringContaining('throttle(0) failed'),
        });
      }));
  });
});

test('resume() that does not come to its end is waited for as long as the time-out', () =>
  leavingNothing(async () => {
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { ram: sharedMemory() } });
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: sharedMemory() }],
      stop: () => Promise.reject(new Error(WHY)),
      resume: () => new Promise(() => {}),
    });
    const error = await errorOf(guest.migrate({ uri: incoming.uri, timeout: 5_000 }));
    await errorOf(incoming.completed);
    expect(error.message).toMatch(
      new RegExp(
        `^${WHY}; and then resume\\(\\) failed, so that the program may not run any more: it ` +
          'has not come to its end within 5 s',
      ),
    );
  }));

test('device state that never comes does not keep a migration that has failed', () =>
  leavingNothing(async () => {
    const cancel = new AbortController();
    const deviceState = {
      [Symbol.asyncIterator]: () => ({
        next: () => (cancel.abort(), new Promise<never>(() => {})),
      }),
    };
    const { atSource } = await migrate({ deviceState, signal: cancel.signal }, {});
    expect(atSource).toMatchObject({ code: 'ERR_CANCELLED' });
  }));
