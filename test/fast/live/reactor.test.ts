import { reactorGuest, reactorTarget, receive, type Tracking } from 'multifd';
import { beforeAll, describe, expect, test } from 'vitest';
import { errorOf } from '../../support/migration.ts';
import { compile } from './reactor-support.ts';

/** Counts in globals of each kind, and keeps the last counts in memory. */
const PROGRAM = `
  export let i: i32 = 0;
  export let l: i64 = 0;
  export let f: f32 = 0;
  export let d: f64 = 0;
  export const fixed: i32 = 7;
  export function step(n: i32): void {
    for (let k = 0; k < n; k++) {
      i++;
      l -= 0x123456789;
      f += 0.1;
      d -= 0.1;
      store<i32>(1024 + ((i & 0x3fff) << 2), i);
    }
  }
  export function grow(pages: i32): i32 { return memory.grow(pages); }
  export function text(): string { return "in each instance's memory from the beginning"; }
  export function wipe(): void { memory.fill(0, 0, 4096); }
  function one(): i32 { return 1; }
  export function call(): i32 { return call_indirect<i32>(one.index); }
`;

interface Exports extends Record<string, WebAssembly.ExportValue> {
  i: WebAssembly.Global;
  l: WebAssembly.Global;
  f: WebAssembly.Global;
  d: WebAssembly.Global;
  memory: WebAssembly.Memory;
  table: WebAssembly.Table;
  step(count: number): void;
  grow(pages: number): number;
  wipe(): void;
}

describe('a reactor', () => {
  let program: WebAssembly.Module;
  beforeAll(async () => {
    program = await compile(PROGRAM);
  });

  async function boot(
    module = program,
  ): Promise<{ instance: WebAssembly.Instance; exports: Exports }> {
    const instance = await WebAssembly.instantiate(module);
    return { instance, exports: instance.exports as unknown as Exports };
  }

  /** An instance that is called in each turn of the event loop. */
  function drive({ step }: Exports) {
    let running = false;
    const turn = (): void => {
      if (!running) return;
      step(50);
      setImmediate(turn);
    };
    return {
      start: (): void => {
        running = true;
        turn();
      },
      stop: (): void => {
        running = false;
      },
      get running() {
        return running;
      },
    };
  }

  function valuesOf({ i, l, f, d }: Exports): unknown[] {
    return [i.value, l.value, f.value, d.value];
  }

  test.each<Tracking>(['compare', 'hash'])(
    'moves with its memory, which grows, its globals, and what its host has, by %s',
    async (tracking) => {
      const here = await boot();
      const there = await boot();
      // What the target has from its birth has to go.
      expect(new Uint8Array(there.exports.memory.buffer, 0, 4096).some((byte) => byte !== 0)).toBe(
        true,
      );
      here.exports.wipe();
      const life = drive(here.exports);
      const host = new Uint8Array(1_200_000).map((_, n) => n * 7);
      let arrived: Uint8Array | undefined;
      let started: unknown[] | undefined;
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        channels: 3,
        ...reactorTarget(there, {
          loadHost: (bytes) => void (arrived = bytes),
          start: () => void (started = valuesOf(there.exports)),
        }),
      });
      life.start();
      const guest = reactorGuest(here, {
        tracking,
        stop: life.stop,
        resume: life.start,
        saveHost: async () => host,
      });
      let grown = false;
      await guest.migrate({
        uri: incoming.uri,
        channels: 3,
        onRound() {
          if (!grown) here.exports.grow(3);
          grown = true;
        },
      });
      await incoming.completed;
      expect(started).toEqual(valuesOf(here.exports));
      expect(there.exports.i.value).toBeGreaterThan(0);
      expect(
        Buffer.from(there.exports.memory.buffer).equals(Buffer.from(here.exports.memory.buffer)),
      ).toBe(true);
      expect(there.exports.memory.buffer.byteLength).toBe(7 << 16);
      expect(Buffer.compare(arrived!, host)).toBe(0);
      // Both go the same way from there.
      for (const { exports } of [here, there]) exports.step(1000);
      expect(valuesOf(there.exports)).toEqual(valuesOf(here.exports));
    },
  );

  test('keeps every number as it is', async () => {
    const here = await boot();
    const there = await boot();
    const target = reactorTarget(there, { start() {} });
    for (const [name, value] of [
      ['i', -(2 ** 31)],
      ['l', -(2n ** 63n)],
      ['f', -0],
      ['d', Number.NaN],
    ] as const)
      here.exports[name].value = value;
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', inline: true, ...target });
    await reactorGuest(here, { stop() {}, resume() {} }).migrate({
      uri: incoming.uri,
      inline: true,
    });
    expect(valuesOf(there.exports)).toEqual([-(2 ** 31), -(2n ** 63n), -0, Number.NaN]);
    // An instance that is used once more would get pieces twice.
    await expect(async () =>
      target.onDeviceState({ idstr: 'multifd/reactor', instanceId: 0, data: new Uint8Array(1) }),
    ).rejects.toMatchObject({ code: 'ERR_GUEST' });
  });

  test('that has come to hold what can not be moved stays, and is not stopped for it', async () => {
    const here = await boot();
    const there = await boot();
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      ...reactorTarget(there, { start() {} }),
    });
    let stops = 0;
    const guest = reactorGuest(here, { stop: () => void stops++, resume() {} });
    here.exports.table.set(here.exports.table.grow(1), here.instance.exports['grow'] as () => void);
    const error = await errorOf(guest.migrate({ uri: incoming.uri, inline: true }));
    expect(error).toMatchObject({
      code: 'ERR_GUEST',
      message: expect.stringContaining('functions that were added'),
    });
    await errorOf(incoming.completed);
    expect(stops).toBe(0);
  });

  test('is not taken for another program', async () => {
    const here = await boot();
    const other = await boot(await compile(`${PROGRAM} export function more(): void {}`));
    let started = false;
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      ...reactorTarget(other, { start: () => void (started = true) }),
    });
    const life = drive(here.exports);
    life.start();
    const failed = errorOf(
      reactorGuest(here, { stop: life.stop, resume: life.start }).migrate({
        uri: incoming.uri,
        inline: true,
      }),
    );
    expect(await errorOf(incoming.completed)).toMatchObject({
      code: 'ERR_GUEST',
      message: expect.stringContaining('another program'),
    });
    expect(await failed).toMatchObject({ code: 'ERR_REMOTE' });
    expect({ started, runs: life.running, i: other.exports.i.value }).toEqual({
      started: false,
      runs: true,
      i: 0,
    });
    life.stop();
  });

  test('refuses globals that hold references, and memories that it can not choose from', async () => {
    const { instance } = await boot();
    const memory = (instance.exports as Exports).memory;
    const reference = new WebAssembly.Global(
      { value: 'anyfunc', mutable: true },
      instance.exports['step'] as () => void,
    );
    const options = { stop() {}, resume() {} };
    expect(() => reactorGuest({ instance, imports: { reference } }, options)).toThrow(
      expect.objectContaining({ code: 'ERR_GUEST' }),
    );
    const empty = new WebAssembly.Global({ value: 'anyfunc', mutable: true });
    expect(() => reactorGuest({ instance, memory, imports: { empty } }, options)).not.toThrow();
    const two = {
      exports: { one: memory, two: new WebAssembly.Memory({ initial: 1 }) },
    } as unknown as WebAssembly.Instance;
    expect(() => reactorGuest({ instance: two }, options)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION' }),
    );
  });
});
