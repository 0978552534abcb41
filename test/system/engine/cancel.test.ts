import { Engine, MultifdError, workerLauncher } from 'multifd/engine';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  clientThread,
  expectAccounts,
  KINDS,
  rejection,
  sendNumber,
  type Staged,
  staged,
  watchThreads,
} from '../../support/engine/support.ts';

const CHANNELS = 2;
/** Arrivals of channels at steps in a whole run: factory, open, 4 + 3 payloads, 2 syncs, close. */
const ARRIVALS = CHANNELS + CHANNELS + 4 + 3 + 2 * CHANNELS + CHANNELS;
const POINTS = Array.from({ length: ARRIVALS }, (_, n) => n + 1);

const cancelled = new MultifdError('ERR_CANCELLED', 'the user has had enough');

/** How far a run got. */
interface Precopy {
  /** Numbers of the payloads that were handed over. */
  sent: number[];
  /** Clients that were refused, and have their payload still. */
  refused: number[];
  error?: unknown;
}

/**
 * The whole life of an engine: set-up, two rounds, the end. The owner's client sends 4 payloads,
 * one in a thread 3.
 */
async function live(engine: Engine): Promise<Precopy> {
  const run: Precopy = { sent: [], refused: [] };
  const thread = clientThread(engine.client(1).handle, { first: 100, count: 3 });
  try {
    await engine.start();
    for (const number of [0, 1, 2, 3]) {
      if (!(await sendNumber(engine, 0, number))) {
        run.refused.push(0);
        break;
      }
      run.sent.push(number);
      if (number % 2 === 1) await engine.sync();
    }
    await thread.result;
    if (run.refused.length === 0) await engine.finish();
  } catch (error) {
    run.error = error;
  }
  const { sent } = await thread.result;
  if (sent < 3) run.refused.push(1);
  run.sent.push(...Array.from({ length: sent }, (_, n) => 100 + n));
  return run;
}

/** The numbers of the payloads that left, each as often as it did. */
function left({ stage }: Staged): number[] {
  return ends(stage, 'send')
    .map(({ value }) => value)
    .sort((a, b) => a - b);
}

function ends(stage: Staged['stage'], step: string): { channel: number; value: number }[] {
  return stage.lines().filter((line) => line.end && line.step === step);
}

describe.each(KINDS)('channels: %s', (kind) => {
  it('a run that is left alone has the points at which the next tests break in', async () => {
    const { stage, engine } = staged(kind, CHANNELS, 2);
    const run = await live(engine);
    expect(run).toEqual({ sent: [0, 1, 2, 3, 100, 101, 102], refused: [] });
    expect(stage.arrivals).toBe(ARRIVALS);
  });

  it.each(POINTS)(
    `abort() at point %i of ${ARRIVALS} ends everything, and every slot has its one owner`,
    async (point) => {
      const threads = watchThreads(onTestFinished);
      const { stage, engine } = staged(kind, CHANNELS, 2);
      stage.holdArrival(point);
      const living = live(engine);
      await stage.arrived(point);
      const aborted = engine.abort(cancelled);
      stage.release();
      await aborted;
      const run = await living;

      // Whoever was not refused at a send waited for something else, and has the error.
      if (!run.refused.includes(0)) expect(run.error).toBe(cancelled);
      expect(engine.group.error).toBe(cancelled);
      expectAccounts(engine, run.refused.sort());
      expect(ends(stage, 'close'), 'each program that was made is closed once').toHaveLength(
        ends(stage, 'factory').length,
      );
      const numbers = left({ stage, engine });
      expect(new Set(numbers).size, 'payloads that left, once each').toBe(numbers.length);
      expect(run.sent).toEqual(expect.arrayContaining(numbers));

      await engine.abort(cancelled);
      expect(await rejection(engine.sync())).toBe(cancelled);
      expect(await sendNumber(engine, 0, 9)).toBe(false);
      expect(await threads.left()).toEqual([]);
    },
  );

  it.each(POINTS)(
    `finish() at point %i of ${ARRIVALS} sends what was handed over, once, and nothing else`,
    async (point) => {
      const threads = watchThreads(onTestFinished);
      const { stage, engine } = staged(kind, CHANNELS, 2);
      stage.holdArrival(point);
      const living = live(engine);
      await stage.arrived(point);
      const finishing = engine.finish().then(
        () => undefined,
        (error: unknown) => error,
      );
      stage.release();
      const finished = await finishing;
      const run = await living;

      // Two ask for the end, or for a sync after it: the one that comes too late is told so.
      const tooLate = [finished, run.error].filter((error) => error !== undefined);
      for (const error of tooLate)
        expect(error).toMatchObject({
          code: 'ERR_ENGINE',
          message: expect.stringContaining('have ended'),
        });
      expect(tooLate.length).toBeLessThan(2);
      expect(engine.group.error).toBeUndefined();
      expectAccounts(engine, run.refused.sort());
      expect(ends(stage, 'close')).toHaveLength(CHANNELS);
      expect(left({ stage, engine })).toEqual(run.sent.sort((a, b) => a - b));
      expect(await threads.left()).toEqual([]);
    },
  );

  it.each(['open', 'send', 'sync'])(
    'abort() while all channels are held up at %s: stop() frees them',
    async (step) => {
      const threads = watchThreads(onTestFinished);
      const { stage, engine } = staged(kind, CHANNELS, 2);
      stage.tell(step, 'hold');
      const living = live(engine);
      await stage.at(0, step);
      await stage.at(1, step);
      const begun = performance.now();
      await engine.abort(cancelled);
      expect(performance.now() - begun, 'ms; it was not ended by force').toBeLessThan(4000);
      const run = await living;
      expectAccounts(engine, run.refused.sort());
      expect(ends(stage, 'close')).toHaveLength(CHANNELS);
      expect(await threads.left()).toEqual([]);
    },
  );

  it('abort() before the start: nothing is started', async () => {
    const threads = watchThreads(onTestFinished);
    const { stage, engine } = staged(kind, CHANNELS, 1);
    await engine.abort(cancelled);
    for (const waiter of [engine.start(), engine.sync(), engine.finish()])
      expect(await rejection(waiter)).toBe(cancelled);
    expect(stage.arrivals).toBe(0);
    expectAccounts(engine);
    expect(await threads.left()).toEqual([]);
  });

  it('abort() after the end changes nothing that has been sent', async () => {
    const { stage, engine } = staged(kind, CHANNELS, 2);
    const { sent } = await live(engine);
    await engine.abort(cancelled);
    expect(left({ stage, engine })).toEqual(sent);
    expectAccounts(engine);
  });
});

/**
 * Each takes the 5 s that a channel has. They go side by side, so their threads are counted
 * together, at the end.
 */
describe.concurrent('a channel that hangs, whatever it is told,', () => {
  let threads: ReturnType<typeof watchThreads>;
  beforeAll(() => {
    threads = watchThreads();
  });
  afterAll(async () => {
    expect(await threads.left()).toEqual([]);
    threads.stop();
  });

  it.each(['factory', 'close'])(
    'is ended with its thread after a while: held up at %s',
    async (step) => {
      const { stage, engine } = staged('workers', CHANNELS, 1);
      stage.tell(step, 'hold', 0);
      const starting = engine.start().catch((error: unknown) => error);
      if (step === 'close') await starting;
      else await stage.at(0, step);
      await engine.abort(cancelled);
      expect(ends(stage, 'close').map(({ channel }) => channel)).toEqual([1]);
      expectAccounts(engine);
    },
    15_000,
  );

  it('is given up after a while, when it is inline', async () => {
    const { stage, engine } = staged('inline', CHANNELS, 1);
    stage.tell('factory', 'hold', 0);
    const starting = rejection(engine.start());
    await stage.at(0, 'factory');
    await engine.abort(cancelled);
    expect(await starting).toBe(cancelled);
    stage.tell('factory', 'pass', 0);
    await stage.at(0, 'close'); // it comes to itself too late, but does close what it had opened
  }, 15_000);

  it('in a handle that it leaves open is ended too, and the end is clean', async () => {
    const built = new URL('../../../build/engine.js', import.meta.url);
    const leaky = `import { serveChannel } from '${built.href}';
      serveChannel(() => ({ kind: 'send', open: () => void setInterval(() => {}, 1000), payloads: new Map(), sync() {}, stop() {}, close() {} }));`;
    const engine = new Engine({
      launcher: workerLauncher(new URL(`data:text/javascript,${encodeURIComponent(leaky)}`)),
      channels: [0],
      clients: 1,
      payloadBytes: 64,
    });
    await engine.start();
    await engine.finish();
    expect(engine.group.error).toBeUndefined();
  }, 15_000);

  it('in a close() that takes its time is waited for, when nothing has failed', async () => {
    const { stage, engine } = staged('inline', CHANNELS, 1);
    await engine.start();
    stage.tell('close', 'hold', 0);
    let finished = false;
    const finishing = engine.finish().then(() => (finished = true));
    await stage.at(1, 'close');
    await stage.at(0, 'close');
    expect(finished).toBe(false);
    stage.tell('close', 'pass', 0);
    await finishing;
  });
});
