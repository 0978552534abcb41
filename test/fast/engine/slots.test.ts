import { Client, Engine, inlineLauncher, NONE, workerLauncher } from 'multifd/engine';
import { describe, expect, it } from 'vitest';
import { Random, SEED } from '../../support/random.ts';
import {
  expectAccounts,
  KINDS,
  rejection,
  sendNumber,
  staged,
} from '../../support/engine/support.ts';

const FIELDS = 15;
const LAUNCHER = inlineLauncher(() => ({
  kind: 'send',
  open() {},
  payloads: new Map([[1, () => {}]]),
  sync() {},
  stop() {},
  close() {},
}));

const geometry = (changes: object): ConstructorParameters<typeof Engine>[0] => ({
  launcher: LAUNCHER,
  channels: [0],
  clients: 1,
  payloadBytes: 64,
  ...changes,
});

describe('a slot', () => {
  it.each(KINDS)(
    `keeps nothing of a former type, whoever had it: channels: %s, SEED ${SEED}`,
    async (kind) => {
      const random = new Random(SEED);
      const { engine } = staged(kind, 3, 2);
      await engine.start();
      const met = new Set<number>();
      for (let sends = 0; sends < 200; sends++) {
        const client = random.below(2);
        const { slot } = engine.client(client);
        expect([slot.type, ...slot.fields]).toEqual(new Array<number>(1 + FIELDS).fill(0));
        // Sometimes it takes another type before it is sent, with what a type has set up in it.
        for (let changes = random.below(3); changes >= 0; changes--) {
          slot.become([1, 2, 7][random.below(3)]!);
          expect([...slot.fields]).toEqual(new Array<number>(FIELDS).fill(0));
          slot.fields.forEach((_, field) => (slot.fields[field] = random.below(2 ** 31)));
        }
        met.add(slot.offset);
        expect(await engine.client(client).sendAsync()).toBe(true);
      }
      await engine.finish();
      expect(met.size, 'slots that the clients have had').toBe(5);
      expectAccounts(engine);
    },
  );

  it('is where it should be in an arena of more than 2 GiB, and a payload is not copied', async () => {
    const seen: number[] = [];
    const launcher = inlineLauncher(() => ({
      kind: 'send',
      open() {},
      payloads: new Map([[1, ({ payload }) => void seen.push(payload[0]!, payload.at(-1)!)]]),
      sync() {},
      stop() {},
      close() {},
    }));
    const engine = new Engine({
      launcher,
      channels: [0, 0, 0],
      clients: 1,
      payloadBytes: 768 * 2 ** 20,
    });
    await engine.start();
    const client = engine.client(0);
    const own = new Set<number>();
    for (let number = 1; number <= 8; number++) {
      const { slot } = client;
      own.add(slot.offset);
      slot.become(1);
      slot.payload[0] = number;
      slot.payload[slot.payload.length - 1] = 100 + number;
      await client.sendAsync();
    }
    await engine.finish();
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8].flatMap((number) => [number, 100 + number]));
    expect(Math.max(...own)).toBeGreaterThan(2 ** 31);
    expectAccounts(engine);
  });
});

describe('it is refused', () => {
  it.each([
    ['no channels', { channels: [] }],
    ['256 channels', { channels: new Array<number>(256).fill(0) }],
    ['no clients', { clients: 0 }],
    ['half a client', { clients: 1.5 }],
    ['a payload of no number', { payloadBytes: Number.NaN }],
    ['a payload of less than nothing', { payloadBytes: -1 }],
    ['more than 4 GiB', { payloadBytes: 2 ** 32 }],
    ['a shared area of a part of a byte', { sharedBytes: 0.5 }],
  ])('to have %s', (_, changes) => {
    expect(() => new Engine(geometry(changes))).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION' }),
    );
  });

  it.each([-1, 1, 0.5, Number.NaN])('to be client %f of one', (index) => {
    expect(() => new Engine(geometry({})).client(index)).toThrow(
      expect.objectContaining({ code: 'ERR_ENGINE' }),
    );
  });

  it('to send an empty slot, and nothing is lost by it', async () => {
    const engine = new Engine(geometry({}));
    await engine.start();
    const client = engine.client(0);
    expect(client.slot.type).toBe(NONE);
    expect(await rejection(client.sendAsync())).toMatchObject({ code: 'ERR_ENGINE' });
    expect(() => Client.attach(client.handle).send()).toThrow(
      expect.objectContaining({ code: 'ERR_ENGINE' }),
    );
    // Two sends at once have one payload between them.
    client.slot.become(1);
    const both = await Promise.allSettled([client.sendAsync(), client.sendAsync()]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(await sendNumber(engine, 0, 1)).toBe(true);
    await engine.finish();
    expectAccounts(engine);
  });

  it("to block the owner's thread", async () => {
    for (const launcher of [
      LAUNCHER,
      workerLauncher(new URL('../../support/engine/fixtures/staged-channel.mjs', import.meta.url)),
    ]) {
      const client = new Engine(geometry({ launcher })).client(0);
      client.slot.become(1);
      expect(() => client.send()).toThrow(
        expect.objectContaining({
          code: 'ERR_ENGINE',
          message: expect.stringContaining('sendAsync()'),
        }),
      );
    }
  });

  it('to start twice', async () => {
    const engine = new Engine(geometry({}));
    await engine.start();
    expect(await rejection(engine.start())).toMatchObject({ code: 'ERR_ENGINE' });
    await engine.finish();
  });
});
