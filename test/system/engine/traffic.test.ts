import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Engine, inlineLauncher, workerLauncher } from 'multifd/engine';
import { describe, expect, it, onTestFinished } from 'vitest';
import { PAYLOAD_BYTES, TYPES } from '../../support/engine/fixtures/traffic.mjs';
import { createTraffic, delivered } from '../../support/engine/fixtures/traffic-program.mjs';
import {
  clientThread,
  expectAccounts,
  KINDS,
  staged,
  watchThreads,
} from '../../support/engine/support.ts';

const CHANNELS = 3;

/**
 * Payloads of each of the three types. A channel in the owner's thread is woken through its event
 * loop, which takes ten times as long.
 */
const LOADS = [
  {
    kind: 'workers',
    count: 700_000,
    launcher: workerLauncher(
      new URL('../../support/engine/fixtures/traffic-channel.mjs', import.meta.url),
    ),
  },
  { kind: 'inline', count: 40_000, launcher: inlineLauncher(createTraffic) },
] as const;

describe.each(LOADS)('channels: $kind', ({ count, launcher }) => {
  it(
    `three clients in three threads send ${3 * count} payloads of three types, each delivered ` +
      'once',
    async () => {
      const threads = watchThreads(onTestFinished);
      const engine = new Engine({
        launcher,
        channels: new Array<number>(CHANNELS).fill(count),
        clients: TYPES.length,
        payloadBytes: PAYLOAD_BYTES,
        sharedBytes: TYPES.length * 4 * Math.ceil(count / 32),
      });
      const before = slots(engine);
      await engine.start();

      const clients = TYPES.map((type, index) => {
        const workerData = { handle: engine.client(index).handle, type, count };
        const worker = new Worker(
          new URL('../../support/engine/fixtures/traffic-client.mjs', import.meta.url),
          {
            workerData,
          },
        );
        return { sent: once(worker, 'message'), gone: once(worker, 'exit') };
      });
      let sending = true;
      const sent = Promise.all(clients.map((client) => client.sent)).finally(
        () => (sending = false),
      );
      // A sync takes turns with the sends of all clients, and must lose none of them.
      while (sending) await engine.sync();
      expect(await sent).toEqual(TYPES.map(() => [count]));
      await engine.finish();
      await Promise.all(clients.map(({ gone }) => gone));

      for (const type of TYPES)
        expect(bitsSet(delivered(engine.group.arena, type, count)), `type ${type}`).toBe(count);
      expect(engine.group.arena.channels.reduce((sum, { counters }) => sum + counters[0]!, 0)).toBe(
        TYPES.length * count,
      );
      expectAccounts(engine);
      expect(slots(engine)).toEqual(before);
      expect(await threads.left()).toEqual([]);
    },
  );
});

it('a send allocates nothing', async () => {
  const [spans, sends] = [9, 20_000];
  const count = (spans + 1) * sends;
  const engine = new Engine({
    launcher: LOADS[0].launcher,
    channels: [count, count],
    clients: 1,
    payloadBytes: PAYLOAD_BYTES,
    sharedBytes: TYPES.length * 4 * Math.ceil(count / 32),
  });
  await engine.start();
  const worker = new Worker(
    new URL('../../support/engine/fixtures/allocation-client.mjs', import.meta.url),
    {
      workerData: { handle: engine.client(0).handle, spans, sends },
    },
  );
  const [bytes] = await once(worker, 'message');
  await engine.finish();
  expect(bytes).toBeLessThan(1); // the smallest object has 12 bytes
});

describe.each(KINDS)('channels: %s', (kind) => {
  it('payloads of three types, from clients in three threads, are in flight at the same time', async () => {
    const { stage, engine } = staged(kind, CHANNELS, TYPES.length);
    await engine.start();
    stage.tell('send', 'hold');
    const clients = TYPES.map((type, index) =>
      clientThread(engine.client(index).handle, { type, first: 10 * type }),
    );
    await Promise.all([0, 1, 2].map((channel) => stage.at(channel, 'send')));

    const inFlight = engine.owners().filter(({ owner, type }) => owner === 'channel' && type !== 0);
    expect(inFlight.map(({ type }) => type).sort()).toEqual(TYPES);
    expect(stage.lines().filter(({ step, end }) => step === 'send' && end)).toEqual([]);

    stage.tell('send', 'pass');
    for (const { result } of clients)
      expect(await result).toMatchObject({ sent: 1, slot: { type: 0 } });
    await engine.finish();
    expect(
      stage
        .lines()
        .filter(({ step, end }) => step === 'send' && end)
        .map(({ value }) => value)
        .sort((a, b) => a - b),
    ).toEqual([10, 20, 70]);
    expectAccounts(engine);
  });
});

/** Offsets of all slots, whoever owns them. */
function slots(engine: Engine): number[] {
  return engine
    .owners()
    .map(({ offset }) => offset)
    .sort((a, b) => a - b);
}

function bitsSet(words: Int32Array): number {
  let count = 0;
  for (let word of words) for (; word !== 0; word &= word - 1) count++;
  return count;
}
