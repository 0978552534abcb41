import {
  Engine,
  inlineLauncher,
  type Launcher,
  MultifdError,
  workerLauncher,
} from 'multifd/engine';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  clientThread,
  type ClientThread,
  expectAccounts,
  type Kind,
  KINDS,
  lockHeld,
  rejection,
  sendNumber,
  sleeperOnLock,
  type Staged,
  staged,
  watchThreads,
} from '../../support/engine/support.ts';

/**
 * A thread has several ways to fail; a task of the owner's thread only one that does not end the
 * owner too.
 */
const ACTS: Record<Kind, readonly string[]> = {
  workers: ['throw', 'die', 'crash'],
  inline: ['throw'],
};
const CASES = KINDS.flatMap((kind) => ACTS[kind].map((act) => [kind, act] as const));
const TYPE = 2;
const OTHER = new MultifdError('ERR_CANCELLED', 'another reason, which comes too late');

/** What was seen of a failure by whoever waited when it came. */
interface Waiters {
  /** Promises that have to reject with the one error. */
  rejecting: Promise<unknown>[];
  /** Clients in threads of their own, whose send() has to say no; by their index. */
  threads: Map<number, ClientThread>;
}

/**
 * The step at which channel 0 is told to fail, and channel 1 fails as a consequence: by then,
 * everyone who can be waiting waits.
 */
const SITUATIONS: Record<string, (engine: Engine, stage: Staged['stage']) => Promise<Waiters>> = {
  async factory(engine, stage) {
    return setUp(engine, stage, 'factory');
  },
  async open(engine, stage) {
    return setUp(engine, stage, 'open');
  },
  async send(engine, stage) {
    await engine.start();
    stage.tell('send', 'hold');
    for (const number of [0, 1]) expect(await sendNumber(engine, 0, number)).toBe(true);
    await Promise.all([stage.at(0, 'send'), stage.at(1, 'send')]);
    const threads = await twoSenders(engine);
    return { rejecting: [engine.sync(), engine.finish()], threads };
  },
  async sync(engine, stage) {
    await engine.start();
    stage.tell('sync', 'hold');
    const sync = engine.sync();
    const threads = await twoSenders(engine);
    await Promise.all([stage.at(0, 'sync'), stage.at(1, 'sync')]);
    return { rejecting: [sync, engine.sync(), engine.finish()], threads };
  },
  async close(engine, stage) {
    await engine.start();
    stage.tell('close', 'hold');
    const finish = engine.finish();
    await Promise.all([stage.at(0, 'close'), stage.at(1, 'close')]);
    return { rejecting: [finish], threads: new Map() };
  },
};

async function setUp(engine: Engine, stage: Staged['stage'], step: string): Promise<Waiters> {
  stage.tell(step, 'hold');
  const start = engine.start();
  const sync = engine.sync(); // it has the send lock, and waits for channels that are not there yet
  const threads = await twoSenders(engine);
  await Promise.all([stage.at(0, step), stage.at(1, step)]);
  return { rejecting: [start, sync, engine.sync(), engine.finish()], threads };
}

/**
 * Two threads in send(): the send lock is one's, or another waiter's, and the others sleep over it.
 */
async function twoSenders(engine: Engine): Promise<Map<number, ClientThread>> {
  const threads = new Map(
    [1, 2].map((index) => [
      index,
      clientThread(engine.client(index).handle, { type: TYPE, first: 10 * index }),
    ]),
  );
  await lockHeld(engine);
  await sleeperOnLock(engine);
  return threads;
}

describe.each(CASES)('channels: %s, which %s', (kind, act) => {
  it.each(Object.keys(SITUATIONS))('%s: one error, and every waiter has it', async (step) => {
    const left = watchThreads(onTestFinished);
    const { stage, engine } = staged(kind, 2, 3);
    const { rejecting, threads } = await SITUATIONS[step]!(engine, stage);
    const errors = Promise.all(rejecting.map(rejection));
    stage.tell(step, act, 0);
    // One that can't be stopped, since there is no program yet or it is closing already, gets there
    // by itself.
    if (step === 'factory' || step === 'close') stage.tell(step, 'pass', 1);

    const error = await engine.group.failure;
    expect(error).toBeInstanceOf(MultifdError);
    expect(error).toMatchObject({ code: 'ERR_ENGINE', channel: 0 });
    expect(error.message).toMatch(
      { throw: /fails as told/, die: /ended with status 3/, crash: /crashes as told/ }[act]!,
    );
    for (const seen of await errors) expect(seen).toBe(error);

    for (const [index, { result }] of threads) {
      expect(await result).toEqual({
        sent: 0,
        slot: {
          type: TYPE,
          number: 10 * index,
          byte: 10 * index,
          offset: engine.client(index).slot.offset,
        },
      });
    }
    expect(await sendNumber(engine, 0, 5)).toBe(false);
    expect(engine.client(0).slot.fields[0]).toBe(5);
    await engine.abort(OTHER);
    expect(await rejection(engine.sync())).toBe(error);
    expect(await rejection(engine.finish())).toBe(error);
    expect(engine.group.error).toBe(error);
    expectAccounts(engine, [0, ...threads.keys()]);
    expect(await left.left()).toEqual([]);
  });
});

describe('a worker that', () => {
  const MODULES = [
    [
      'is not there',
      new URL('../../support/engine/fixtures/nothing.mjs', import.meta.url),
      /Cannot find module/,
    ],
    ['does not load', source('throw new Error("no luck")'), /no luck/],
    ['is no JavaScript', source('this is not'), /Unexpected|Missing/],
    ['serves no channel', source(''), /ended with status 0 before its work did/],
  ] as const;

  it.each(MODULES)('%s fails the start', async (_, url, message) => {
    const left = watchThreads(onTestFinished);
    const engine = new Engine({
      launcher: workerLauncher(url),
      channels: [0, 0],
      clients: 1,
      payloadBytes: 64,
    });
    const waiters = [engine.start(), engine.sync(), engine.finish()].map(rejection);
    const error = await engine.group.failure;
    expect(error).toMatchObject({ code: 'ERR_ENGINE', message: expect.stringMatching(message) });
    for (const seen of await Promise.all(waiters)) expect(seen).toBe(error);
    expectAccounts(engine);
    expect(await left.left()).toEqual([]);
  });

  it('can not be given its data fails the start, and leaves none of those before it', async () => {
    const left = watchThreads(onTestFinished);
    const engine = new Engine({
      launcher: workerLauncher(source('setInterval(() => {}, 1000)')),
      channels: [0, () => {}],
      clients: 1,
      payloadBytes: 64,
    });
    const error = await rejection(engine.start());
    expect(error).toMatchObject({
      code: 'ERR_ENGINE',
      channel: 1,
      message: expect.stringContaining('could not be cloned'),
    });
    const [first] = await left.left();
    expect(first).toBeGreaterThan(0);
    await engine.abort(OTHER); // it does not listen: it is ended
    expect(engine.group.error).toBe(error);
    expect(await left.left()).toEqual([]);
  }, 15_000);
});

it('a sender that dies inside send() keeps nobody: not the other senders, not the owner', async () => {
  const left = watchThreads(onTestFinished);
  const { stage, engine } = staged('workers', 1, 3);
  await engine.start();
  stage.tell('send', 'hold');
  await sendNumber(engine, 0, 1);
  await stage.at(0, 'send');
  const dying = clientThread(engine.client(1).handle);
  await lockHeld(engine);
  const sleeping = clientThread(engine.client(2).handle, { type: TYPE, first: 7 });
  await sleeperOnLock(engine);
  await dying.worker.terminate(); // nobody will ever unlock

  const waiters = [engine.sync(), engine.finish()].map(rejection);
  const cancelled = new MultifdError('ERR_CANCELLED', 'enough of it');
  await engine.abort(cancelled);
  expect(await Promise.all(waiters)).toEqual([cancelled, cancelled]);
  expect(await sleeping.result).toMatchObject({ sent: 0, slot: { type: TYPE, number: 7 } });
  expectAccounts(engine, [1, 2]);
  expect(await left.left()).toEqual([]);
}, 20_000);

describe('a program', () => {
  const quiet = {
    kind: 'send' as const,
    open() {},
    payloads: new Map(),
    sync() {},
    stop() {},
    close() {},
  };

  it('without a handler for a type fails the engine', async () => {
    const engine = new Engine({
      launcher: inlineLauncher(() => quiet),
      channels: [0],
      clients: 1,
      payloadBytes: 64,
    });
    await engine.start();
    expect(await sendNumber(engine, 0, 1, 9)).toBe(true);
    expect(await rejection(engine.finish())).toMatchObject({
      code: 'ERR_ENGINE',
      channel: 0,
      message: expect.stringContaining('payload type 9'),
    });
    expectAccounts(engine);
  });

  it(
    'whose stop() throws does not keep the others from being stopped, nor the group from its ' +
      'error',
    async () => {
      const stopped: number[] = [];
      const program = ({ id }: { id: number }): typeof quiet => ({
        ...quiet,
        stop() {
          stopped.push(id);
          if (id === 0) throw new Error('stop fails');
        },
      });
      const engine = new Engine({
        launcher: inlineLauncher(program),
        channels: [0, 0],
        clients: 1,
        payloadBytes: 64,
      });
      await engine.start();
      await engine.abort(OTHER);
      expect(stopped).toEqual([0, 1]);
      expect(engine.group.error).toBe(OTHER);
    },
  );

  it.each(KINDS)(
    'whose values the owner can not take fails the engine: channels: %s',
    async (kind) => {
      const program = ({ emit }: { emit(value: unknown): void }): typeof quiet => ({
        ...quiet,
        open: () => emit('a value'),
      });
      const served = source(`import { serveChannel } from 'multifd/engine';
      serveChannel(({ emit }) => ({ kind: 'send', open: () => emit('a value'), payloads: new Map(), sync() {}, stop() {}, close() {} }));`);
      const onValue = (channel: number, value: unknown): void => {
        throw new Error(`${value} of ${channel} is not wanted`);
      };
      const engine = new Engine({
        launcher: kind === 'inline' ? inlineLauncher(program) : workerLauncher(served),
        channels: [0],
        clients: 1,
        payloadBytes: 64,
        onValue,
      });
      expect(await rejection(engine.start())).toMatchObject({
        code: 'ERR_ENGINE',
        channel: 0,
        message: expect.stringContaining('a value of 0 is not wanted'),
      });
      await engine.abort(OTHER);
    },
  );
});

/** A worker module from its text. */
function source(text: string): URL {
  const engine = new URL('../../../build/engine.js', import.meta.url);
  return new URL(
    `data:text/javascript,${encodeURIComponent(text.replace('multifd/engine', engine.href))}`,
  );
}

it('a consequence that is heard of before its cause does not count', async () => {
  const late: (() => void)[] = [];
  const cause = new MultifdError('ERR_IO', 'the cause');
  const failing = inlineLauncher(() => {
    throw cause;
  });
  // As from a thread, whose word can take longer than what its end does to others.
  const launcher: Launcher = {
    inline: true,
    launch: (start, report) =>
      failing.launch(start, (event) =>
        event.kind === 'failed' ? void late.push(() => report(event)) : report(event),
      ),
  };
  const engine = new Engine({ launcher, channels: [null], clients: 1, payloadBytes: 64 });
  const starting = rejection(engine.start());
  while (late.length === 0) await Promise.resolve();
  engine.group.fail(new MultifdError('ERR_PEER_CLOSED', 'a consequence'));
  expect(engine.group.error).toBeUndefined();
  late[0]!();
  expect(await starting).toMatchObject({ code: 'ERR_IO', message: 'the cause' });
  await engine.abort(OTHER);
  expect(engine.group.error).toMatchObject({ message: 'the cause' });
});
