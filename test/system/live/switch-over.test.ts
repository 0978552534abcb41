import { Guest, receive } from 'multifd';
import { afterEach, describe, expect, test } from 'vitest';
import { errorOf } from '../../support/migration.ts';
import { Random, SEED } from '../../support/random.ts';
import { CuttingProxy, type Seen } from '../../support/cutting-proxy.ts';
import { Program, programProblem } from '../../support/program.ts';

/**
 * The connection is cut before, or within, each message of the switch-over in turn. Exactly one end
 * runs the program afterwards, but for one documented window: the target runs it, and its word of
 * that (SHUT) does not arrive. Then both do.
 */

const CHANNELS = 2;
const MEMORY_PAGES = 16;

interface Outcome {
  cut: boolean;
  seen: Seen[];
  sourceRuns: boolean;
  targetRuns: boolean;
}

let proxy: CuttingProxy | undefined;
afterEach(() => proxy?.close());

async function migrateAndCut(
  random: Random,
  cuts: (number: number, message: Seen) => boolean,
  inside: boolean,
): Promise<Outcome> {
  const program = new Program(new WebAssembly.Memory({ initial: MEMORY_PAGES }), random);
  program.start();
  const target = new WebAssembly.Memory({ initial: MEMORY_PAGES });
  let moved: Program | undefined;
  const states: string[] = [];
  const incoming = await receive({
    uri: 'tcp:127.0.0.1:0',
    channels: CHANNELS,
    inline: true,
    blocks: { ram: target },
    onDeviceState: ({ idstr }) => void states.push(idstr),
    start() {
      // Everything is there by now.
      expect(programProblem(target)).toBeUndefined();
      expect(states).toEqual(['state']);
      moved = new Program(target, random);
      moved.start();
    },
  });
  const opened = await CuttingProxy.open(
    incoming.uri,
    (number, message) => !cuts(number, message),
    { inside },
  );
  proxy = opened.proxy;
  let before: Buffer | undefined;
  const guest = new Guest({
    blocks: [{ id: 'ram', memory: program.memory }],
    stop() {
      program.stop();
      before = Buffer.from(Buffer.from(program.memory.buffer));
      opened.proxy.counting = true;
    },
    resume() {
      // As it was stopped.
      expect(Buffer.from(program.memory.buffer).equals(before!)).toBe(true);
      program.start();
    },
    deviceState: () => [{ idstr: 'state', instanceId: 0, data: new Uint8Array(1000) }],
  });
  const moving = guest.migrate({ uri: opened.uri, channels: CHANNELS, inline: true });
  const ends = await Promise.allSettled([moving, incoming.completed]);
  const outcome = {
    cut: opened.proxy.cut,
    seen: opened.proxy.seen,
    sourceRuns: program.running,
    targetRuns: moved !== undefined,
  };
  // Each end knows what it has: who resolves there has handed the program over, or has it.
  expect(ends[0].status).toBe(outcome.sourceRuns ? 'rejected' : 'fulfilled');
  expect(ends[1].status).toBe(outcome.targetRuns ? 'fulfilled' : 'rejected');
  for (const running of [program, moved]) {
    if (running?.running !== true) continue;
    running.step(10_000);
    running.stop();
    expect(programProblem(running.memory)).toBeUndefined();
  }
  opened.proxy.close();
  return outcome;
}

describe(`a switch-over that is cut, SEED ${SEED}`, () => {
  test.each([
    ['before', false],
    ['within', true],
  ])(
    '%s any of its messages: one end runs the program, or both in the one window',
    async (_, inside) => {
      const random = new Random(SEED);
      const windows: Seen[] = []; // the message that was cut, where both ends run the program
      const kinds = new Set<string>();
      for (let at = 0; ; at++) {
        const { cut, seen, sourceRuns, targetRuns } = await migrateAndCut(
          random,
          (number) => number === at,
          inside,
        );
        for (const { what } of seen) kinds.add(what);
        if (!cut) {
          expect({ sourceRuns, targetRuns }).toEqual({ sourceRuns: false, targetRuns: true });
          break;
        }
        if (sourceRuns && targetRuns) windows.push(seen.at(-1)!);
        else expect([sourceRuns, targetRuns]).toContain(true);
      }
      // Nothing but the target's word was missing: the end of the source's stream (a cut looks the
      // same) had come, or a last sign of life was on its way back.
      for (const { on, what } of windows)
        expect(['main end', 'back PONG', 'back SHUT', 'back end']).toContain(`${on} ${what}`);
      expect([...kinds]).toEqual(
        expect.arrayContaining([
          'END',
          'EOF',
          'EOS',
          'FLUSH',
          'SHUT',
          'SYNC',
          'device state',
          'end',
          'footer',
          'pages',
        ]),
      );
    },
    120_000,
  );

  test('the one window: the target runs it, and its word of that is lost', async () => {
    for (const inside of [false, true]) {
      const { sourceRuns, targetRuns } = await migrateAndCut(
        new Random(SEED),
        (_, { what }) => what === 'SHUT',
        inside,
      );
      expect({ sourceRuns, targetRuns }).toEqual({ sourceRuns: true, targetRuns: true });
    }
  });

  test('a target whose start() throws: the source goes on', async () => {
    const program = new Program(
      new WebAssembly.Memory({ initial: MEMORY_PAGES }),
      new Random(SEED),
    );
    program.start();
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      blocks: { ram: new WebAssembly.Memory({ initial: MEMORY_PAGES }) },
      start() {
        throw new Error('no licence here');
      },
    });
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory }],
      stop: program.stop,
      resume: program.start,
    });
    const failed = errorOf(guest.migrate({ uri: incoming.uri, inline: true }));
    expect(await errorOf(incoming.completed)).toMatchObject({
      message: expect.stringContaining('no licence here'),
    });
    expect(await failed).toMatchObject({ code: 'ERR_REMOTE' });
    expect(program.running).toBe(true);
    program.stop();
  });

  test('a program whose stop() never comes to its end is let go on when the migration is cancelled', async () => {
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      blocks: { ram: new WebAssembly.Memory({ initial: 1 }) },
    });
    const cancel = new AbortController();
    let resumed = 0;
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: new WebAssembly.Memory({ initial: 1 }) }],
      stop: () => new Promise(() => cancel.abort()),
      resume: () => void resumed++,
    });
    expect(
      await errorOf(guest.migrate({ uri: incoming.uri, inline: true, signal: cancel.signal })),
    ).toMatchObject({ code: 'ERR_CANCELLED' });
    await errorOf(incoming.completed);
    expect(resumed).toBe(1);
  });

  test('device state that can not be had, or a check that fails: the program goes on', async () => {
    for (const broken of ['deviceState', 'check'] as const) {
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        inline: true,
        blocks: { ram: new WebAssembly.Memory({ initial: 1 }) },
      });
      let stopped = false;
      const guest = new Guest({
        blocks: [{ id: 'ram', memory: new WebAssembly.Memory({ initial: 1 }) }],
        stop: () => void (stopped = true),
        resume: () => void (stopped = false),
        [broken]() {
          if (stopped) throw new Error('not now');
          return [];
        },
      });
      expect(await errorOf(guest.migrate({ uri: incoming.uri, inline: true }))).toMatchObject({
        message: expect.stringContaining('not now'),
      });
      await errorOf(incoming.completed);
      expect(stopped).toBe(false);
    }
  });
});
