import { describe, expect, it } from 'vitest';
import {
  clientThread,
  expectAccounts,
  KINDS,
  permutations,
  rejection,
  sendNumber,
  sleeperOnLock,
  staged,
} from '../../support/engine/support.ts';

const CHANNELS = 3;
const ORDERS = permutations([0, 1, 2]);
/** Payloads of the second round have numbers from here on. */
const SECOND = 100;

describe.each(KINDS)('channels: %s', (kind) => {
  it.each(ORDERS)(
    'nothing sent after a sync is on any channel before everything sent before it: channels ' +
      'finish in the order %i, %i, %i',
    async (...order) => {
      const { stage, engine } = staged(kind, CHANNELS, 3);
      await engine.start();
      stage.tell('send', 'hold');
      stage.tell('sync', 'hold');
      for (let number = 0; number < CHANNELS; number++)
        expect(await sendNumber(engine, 0, number)).toBe(true);
      await Promise.all(order.map((channel) => stage.at(channel, 'send')));

      let synced = false;
      const sync = engine.sync().then(() => (synced = true));
      // Two more senders, one of them in a thread, find a sync under way.
      const after = sendNumber(engine, 1, SECOND);
      const thread = clientThread(engine.client(2).handle, {
        first: SECOND + 1,
        count: 2 * CHANNELS,
      });
      await sleeperOnLock(engine);

      for (const channel of order) {
        stage.tell('send', 'pass', channel);
        await stage.at(channel, 'sync');
      }
      for (const channel of order) {
        expect(synced, `before channel ${channel} has synced`).toBe(false);
        expect(begun(stage, SECOND)).toEqual([]);
        stage.tell('sync', 'pass', channel);
      }
      await sync;
      expect(await after).toBe(true);
      expect(await thread.result).toMatchObject({ sent: 2 * CHANNELS });
      await engine.finish();

      const lines = stage.lines();
      const lastOfFirst = lines.findLastIndex(
        ({ step, end, value }) => end && (step === 'sync' || (step === 'send' && value < SECOND)),
      );
      const firstOfSecond = lines.findIndex(
        ({ step, value }) => step === 'send' && value >= SECOND,
      );
      expect(lines.filter(({ step, end }) => step === 'sync' && end)).toHaveLength(CHANNELS);
      expect(begun(stage, SECOND)).toHaveLength(1 + 2 * CHANNELS);
      expect(firstOfSecond).toBeGreaterThan(lastOfFirst);
      expectAccounts(engine);
    },
  );

  it('a sync waits for a payload that one channel still has, when the others are idle', async () => {
    const { stage, engine } = staged(kind, CHANNELS, 1);
    await engine.start();
    stage.tell('send', 'hold');
    await sendNumber(engine, 0, 1);
    await stage.at(0, 'send'); // the round robin starts there
    const sync = engine.sync();
    await Promise.all([stage.at(1, 'sync'), stage.at(2, 'sync')]);
    expect(stage.lines().filter(({ channel, step }) => channel === 0 && step === 'sync')).toEqual(
      [],
    );
    stage.tell('send', 'pass');
    await sync;
    await engine.finish();
  });

  it('syncs that are asked for at once come one after the other', async () => {
    const { stage, engine } = staged(kind, 2, 1);
    await engine.start();
    await Promise.all([engine.sync(), engine.sync(), engine.sync()]);
    await engine.finish();
    const ends = stage.lines().filter(({ step, end }) => step === 'sync' && end);
    expect(
      [0, 2, 4].map((at) =>
        ends
          .slice(at, at + 2)
          .map(({ channel }) => channel)
          .sort(),
      ),
    ).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
    ]);
  });

  it(
    'after the end there is nothing to wait for: sync() and a second finish() say so, ' +
      'sendAsync() is refused',
    async () => {
      const { engine } = staged(kind, 2, 1);
      await engine.start();
      await engine.finish();
      expect(await rejection(engine.sync())).toMatchObject({
        code: 'ERR_ENGINE',
        message: expect.stringContaining('have ended'),
      });
      expect(await rejection(engine.finish())).toMatchObject({
        code: 'ERR_ENGINE',
        message: expect.stringContaining('have ended'),
      });
      expect(await sendNumber(engine, 0, 1)).toBe(false);
      expectAccounts(engine, [0]);
    },
  );
});

function begun(
  stage: { lines(): { step: string | undefined; end: boolean; value: number }[] },
  from: number,
): number[] {
  return stage
    .lines()
    .filter(({ step, end, value }) => step === 'send' && !end && value >= from)
    .map(({ value }) => value);
}
