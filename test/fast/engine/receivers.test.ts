import { MultifdError } from 'multifd/engine';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Stage } from '../../support/engine/fixtures/stage.mjs';
import {
  KINDS,
  permutations,
  rejection,
  stagedReceivers,
  turn,
  watchThreads,
} from '../../support/engine/support.ts';

const ROUNDS = 3;
const cancelled = new MultifdError('ERR_CANCELLED', 'the user has had enough');

describe.each(KINDS)('receiving channels: %s', (kind) => {
  it.each(permutations([0, 1, 2]))(
    'none begins a round before all have ended the one before: they finish in the order %i, ' +
      '%i, %i',
    async (...order) => {
      const { stage, receivers, data } = stagedReceivers(kind, [ROUNDS, ROUNDS, ROUNDS]);
      stage.tell('send', 'hold');
      await receivers.start(data);
      for (let round = 0; round < ROUNDS; round++) {
        let synced = false;
        const sync = receivers.sync().then(() => (synced = true));
        for (const channel of order) {
          await stage.at(channel, 'send', round + 1);
          expect(synced, `before channel ${channel} has ended round ${round}`).toBe(false);
          stage.tell('send', 'pass', channel);
          await applied(stage, kind, channel, round);
          stage.tell('send', 'hold', channel);
        }
        await sync;
      }
      stage.tell('send', 'pass');
      await receivers.finish();
      const rounds = stage
        .lines()
        .filter(({ step }) => step === 'send')
        .map(({ value }) => value);
      expect(rounds).toHaveLength(2 * 3 * ROUNDS);
      expect(rounds).toEqual(rounds.toSorted((a, b) => a - b));
    },
  );

  it('a channel that ends before a sync is named to whoever waits for it', async () => {
    const { receivers, data } = stagedReceivers(kind, [2, 1]);
    await receivers.start(data);
    await receivers.sync();
    expect(await rejection(receivers.sync())).toMatchObject({
      code: 'ERR_PEER_CLOSED',
      channel: 1,
    });
    await receivers.finish();
  });

  it.each(['factory', 'open', 'send', 'close'])(
    'a channel that fails at %s ends all, with its error',
    async (step) => {
      const threads = watchThreads(onTestFinished);
      const { stage, receivers, data } = stagedReceivers(kind, [1, 1]);
      stage.tell(step, 'hold');
      const starting = receivers.start(data);
      const started = starting.catch((error: unknown) => error);
      const waiters: Promise<unknown>[] = [];
      if (step === 'factory' || step === 'open') waiters.push(rejection(starting));
      else await starting;
      const syncing = receivers.sync();
      if (step !== 'close') waiters.push(rejection(syncing));
      else await syncing;
      if (step === 'close') waiters.push(rejection(receivers.finish()));
      await Promise.all([stage.at(0, step), stage.at(1, step)]);
      stage.tell(step, 'throw', 0);
      if (step === 'factory' || step === 'close') stage.tell(step, 'pass', 1);

      const error = await receivers.group.failure;
      await started;
      expect(error).toMatchObject({
        code: 'ERR_ENGINE',
        channel: 0,
        message: expect.stringContaining('fails as told'),
      });
      for (const seen of await Promise.all(waiters)) expect(seen).toBe(error);
      expect(await rejection(receivers.finish())).toBe(error);
      expect(await threads.left()).toEqual([]);
    },
  );

  it('cancelled while some wait at the barrier and one does not get there: all end', async () => {
    const threads = watchThreads(onTestFinished);
    const { stage, receivers, data } = stagedReceivers(kind, [2, 2]);
    stage.tell('send', 'hold', 1);
    await receivers.start(data);
    const waiting = rejection(receivers.sync());
    await applied(stage, kind, 0, 0);
    await stage.at(1, 'send');
    receivers.group.fail(cancelled);
    expect(await waiting).toBe(cancelled);
    expect(await rejection(receivers.finish())).toBe(cancelled);
    expect(stage.lines().filter(({ step, value }) => step === 'send' && value === 1)).toEqual([]);
    expect(await threads.left()).toEqual([]);
  });

  it('finished while they wait at the barrier: none goes on, and a sync after it is refused', async () => {
    const { stage, receivers, data } = stagedReceivers(kind, [2, 2]);
    await receivers.start(data);
    await Promise.all([applied(stage, kind, 0, 0), applied(stage, kind, 1, 0)]);
    await receivers.finish();
    expect(stage.lines().filter(({ step, value }) => step === 'send' && value === 1)).toEqual([]);
    expect(await rejection(receivers.sync())).toMatchObject({
      code: 'ERR_ENGINE',
      message: expect.stringContaining('have ended'),
    });
  });
});

it('data for another number of channels is refused', async () => {
  const { receivers, data } = stagedReceivers('inline', [1, 1]);
  expect(await rejection(receivers.start(data.slice(1)))).toMatchObject({ code: 'ERR_ENGINE' });
});

/** Nobody stores anything here: a way to block this thread for a moment. */
const NEVER = new Int32Array(new SharedArrayBuffer(4));

/**
 * Waits until a channel has applied a round. Channels in threads of their own are waited for
 * without a turn of the event loop, in which the sync that is under way here could let them go on,
 * before they are told to hold.
 */
async function applied(stage: Stage, kind: string, id: number, round: number): Promise<void> {
  while (
    !stage
      .lines()
      .some(
        ({ channel, step, end, value }) =>
          channel === id && step === 'send' && end && value === round,
      )
  ) {
    if (kind === 'inline') await turn();
    else Atomics.wait(NEVER, 0, 0, 1);
  }
}
