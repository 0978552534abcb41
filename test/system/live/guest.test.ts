import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import {
  Guest,
  hashScratchBytes,
  type LiveBlock,
  type LiveMigrationOptions,
  type Round,
  receive,
} from 'multifd';
import { describe, expect, test } from 'vitest';
import { errorOf } from '../../support/migration.ts';
import { Random, SEED } from '../../support/random.ts';
import { Program, programProblem } from '../../support/program.ts';

const PAGE = 4096;

function bytesOf(memory: LiveBlock['memory']): Buffer {
  if (memory instanceof Uint8Array)
    return Buffer.from(memory.buffer, memory.byteOffset, memory.byteLength);
  return Buffer.from(
    (memory instanceof WebAssembly.Memory ? memory.buffer : memory) as ArrayBuffer,
  );
}

describe(`a running guest, SEED ${SEED}`, () => {
  test.each<Partial<LiveMigrationOptions>>([
    { compression: 'none' },
    { compression: 'zlib', inline: true },
    { compression: 'zstd' },
    { switchoverAck: true },
    { channels: 1 },
    { channels: 8, uuid: '6d7f2a3e-5a59-4d0c-8a0e-1f2d3c4b5a69' },
    { maxBandwidth: 20 << 20 },
  ])('arrives as it was stopped, with %j', async (options) => {
    const program = new Program(new WebAssembly.Memory({ initial: 20 }), new Random(SEED));
    program.start();
    const target = new WebAssembly.Memory({ initial: 20 });
    const { channels, compression, uuid, switchoverAck } = options;
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      ...(channels && { channels }),
      ...(compression && { compression }),
      ...(uuid && { uuid }),
      ...(switchoverAck && { switchoverAck }),
      blocks: { ram: target },
    });
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory }],
      stop: program.stop,
      resume: program.start,
    });
    const rounds: Round[] = [];
    const statistics = await guest.migrate({
      uri: incoming.uri,
      ...options,
      onRound: (round) => rounds.push(round),
    });
    const received = await incoming.completed;
    expect(Buffer.from(target.buffer).equals(Buffer.from(program.memory.buffer))).toBe(true);
    expect(programProblem(target)).toBeUndefined();
    expect(program.running).toBe(false);
    // The first round sends all there is, later ones what has changed; both ends have counted the
    // same.
    expect(rounds[0]).toMatchObject({
      round: 1,
      scanned: 320,
      dirty: 320,
      'expected-downtime': null,
    });
    expect(rounds.map(({ scanned }) => scanned)).toEqual(rounds.map(() => 320));
    expect(statistics.ram['dirty-sync-count']).toBe(rounds.length);
    expect(received.ram.normal).toBe(statistics.ram.normal);
    expect(received.ram.duplicate).toBe(statistics.ram.duplicate);
    expect(statistics.downtime).toBeGreaterThan(0);
    expect(statistics['expected-downtime']).toBe(rounds.at(-1)!['expected-downtime']);
    expect(statistics.ram.remaining).toBe(0);
  });

  test.each([
    ['compare', 'a memory', () => new WebAssembly.Memory({ initial: 40 })],
    ['hash', 'a memory', () => new WebAssembly.Memory({ initial: 40 })],
    [
      'compare',
      'a shared memory',
      () => new WebAssembly.Memory({ initial: 40, maximum: 40, shared: true }),
    ],
    [
      'hash',
      'a shared memory',
      () => new WebAssembly.Memory({ initial: 40, maximum: 40, shared: true }),
    ],
    ['compare', 'bytes', () => new Uint8Array(40 << 16)],
    ['compare', 'a part of a buffer', () => new Uint8Array(new ArrayBuffer(41 << 16), 1 << 16)],
    ['compare', 'a shared buffer', () => new SharedArrayBuffer(40 << 16)],
  ] as const)(
    '%s over %s: the second round finds what was written, and nothing else',
    async (tracking, _, make) => {
      const memory = make();
      const random = new Random(SEED);
      const bytes = bytesOf(memory);
      const pages = bytes.length / PAGE;
      const scratch = 64 * PAGE;
      const scratched = new Set(
        Array.from({ length: Math.ceil(hashScratchBytes(PAGE, 2) / PAGE) }, (_, i) => 64 + i),
      );
      const changed = new Set<number>();
      for (let page = 0; page < pages; page++)
        if (random.chance(0.7)) bytes[page * PAGE + random.below(PAGE)] = 1 + random.below(255);
      // First, last, and those at which something is borrowed or split.
      const written = [
        0,
        1,
        2,
        31,
        32,
        255,
        256,
        pages / 2 - 1,
        pages / 2,
        pages - 3,
        pages - 2,
        pages - 1,
        ...Array.from({ length: 20 }, () => random.below(pages)),
      ];
      const target = new Uint8Array(bytes.length).fill(7);
      const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { ram: target } });
      const guest = new Guest({
        blocks: [
          {
            id: 'ram',
            memory,
            tracking,
            ...(tracking === 'hash' &&
              memory instanceof WebAssembly.Memory &&
              memory.buffer instanceof SharedArrayBuffer && { scratch }),
          },
        ],
        scanThreads: 2,
        stop() {},
        resume() {},
      });
      const before = Buffer.from(bytes);
      const rounds: Round[] = [];
      await guest.migrate({
        uri: incoming.uri,
        downtimeLimit: 0,
        maxRounds: 3,
        onMaxRounds: 'stop',
        onRound(round) {
          rounds.push(round);
          if (round.round !== 1) return;
          for (const page of written) {
            if (tracking === 'hash' && scratched.has(page)) continue;
            bytes[page * PAGE + random.below(PAGE)]! ^= 1 << random.below(8);
          }
          for (let page = 0; page < pages; page++)
            if (
              bytes.compare(
                before,
                page * PAGE,
                (page + 1) * PAGE,
                page * PAGE,
                (page + 1) * PAGE,
              ) !== 0
            )
              changed.add(page);
        },
      });
      await incoming.completed;
      const lent = tracking === 'hash' && bytes.buffer instanceof SharedArrayBuffer;
      // What was lent is zero at both ends. A page of it has other bytes, too.
      if (lent)
        expect(
          bytes.subarray(scratch, scratch + hashScratchBytes(PAGE, 2)).every((byte) => byte === 0),
        ).toBe(true);
      expect(bytes.equals(target)).toBe(true);
      if (lent) for (const page of scratched) changed.delete(page);
      expect(rounds.map(({ dirty }) => dirty)).toEqual([pages, changed.size, 0]);
    },
  );

  test('several blocks, each tracked in its own way, and those that are zero', async () => {
    const random = new Random(SEED);
    const program = new Program(new WebAssembly.Memory({ initial: 20 }), random);
    program.step(100);
    program.log.take();
    const blocks: LiveBlock[] = [
      { id: 'program', memory: program.memory, tracking: program.log },
      { id: 'zero', memory: new WebAssembly.Memory({ initial: 10 }), tracking: 'hash' },
      { id: 'shared', memory: new WebAssembly.Memory({ initial: 3, maximum: 3, shared: true }) },
      { id: 'bytes', memory: random.bytes(5 * PAGE) },
    ];
    const targets = Object.fromEntries(
      blocks.map(({ id, memory }) => [id, new Uint8Array(bytesOf(memory).length).fill(1)]),
    );
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: targets });
    const guest = new Guest({ blocks, stop: program.stop, resume: program.start });
    program.start();
    const statistics = await guest.migrate({ uri: incoming.uri });
    await incoming.completed;
    for (const { id, memory } of blocks) expect(bytesOf(memory).equals(targets[id]!)).toBe(true);
    expect(programProblem(program.memory)).toBeUndefined();
    // In a first round all of two blocks, and nothing of them later.
    expect(statistics.ram.duplicate).toBeGreaterThanOrEqual(160 + 48);
  });

  test.each(['compare', 'hash'] as const)(
    'shared memory that threads write to all the while, by %s',
    async (tracking) => {
      const shared = new WebAssembly.Memory({ initial: 66, maximum: 66, shared: true });
      const words = new Int32Array(shared.buffer as ArrayBufferLike as SharedArrayBuffer);
      // Each thread counts up, page by page, in its half; words 0 and 1: whether to stop, and how
      // many have.
      const code = `
      const { workerData: { memory, part } } = require('node:worker_threads');
      const words = new Int32Array(memory.buffer);
      for (let pass = 1; ; pass++) for (let page = 4 + part; page < 1024; page += 2) {
        if (Atomics.load(words, 0) === 1) { Atomics.add(words, 1, 1); Atomics.notify(words, 1); Atomics.wait(words, 0, 1); }
        words[page * 1024 + (page & 511)] = pass;
      }`;
      const threads = [0, 1].map(
        (part) => new Worker(code, { eval: true, workerData: { memory: shared, part } }),
      );
      await Promise.all(threads.map((thread) => once(thread, 'online')));
      const target = new WebAssembly.Memory({ initial: 66, maximum: 66, shared: true });
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        channels: 3,
        blocks: { ram: target },
      });
      const guest = new Guest({
        blocks: [{ id: 'ram', memory: shared, tracking, scratch: PAGE * 1024 }],
        scanThreads: 2,
        async stop() {
          Atomics.store(words, 0, 1);
          for (let stopped = 0; (stopped = Atomics.load(words, 1)) < 2; )
            await Atomics.waitAsync(words, 1, stopped).value;
        },
        resume() {},
      });
      const rounds: Round[] = [];
      await guest.migrate({
        uri: incoming.uri,
        channels: 3,
        downtimeLimit: 0,
        maxRounds: 4,
        onMaxRounds: 'stop',
        onRound: (round) => rounds.push(round),
      });
      await incoming.completed;
      for (const thread of threads) await thread.terminate();
      // All but what was lent for the hashes.
      expect(
        Buffer.from(target.buffer, 0, 64 << 16).equals(Buffer.from(shared.buffer, 0, 64 << 16)),
      ).toBe(true);
      const moved = new Int32Array(target.buffer as ArrayBufferLike as SharedArrayBuffer);
      for (const part of [0, 1]) {
        const passes = Array.from(
          { length: 510 },
          (_, i) => moved[(4 + part + 2 * i) * 1024 + ((4 + part + 2 * i) & 511)]!,
        );
        expect(passes[0]! - passes.at(-1)!).toBeOneOf([0, 1]);
        expect(
          passes.every(
            (pass, i) =>
              i === 0 ||
              pass === passes[i - 1] ||
              (pass === passes[i - 1]! - 1 && pass === passes.at(-1)),
          ),
        ).toBe(true);
      }
      expect(rounds.slice(1).some(({ dirty }) => dirty > 0)).toBe(true);
    },
  );

  test('what can not be tracked, or moved twice at once, is refused before anything happens', async () => {
    const nothing = { stop() {}, resume() {} };
    const refuse = (memory: LiveBlock['memory'], block: Partial<LiveBlock> = {}) =>
      errorOf(
        new Guest({ blocks: [{ id: 'ram', memory, ...block }], ...nothing }).migrate({
          uri: 'tcp:127.0.0.1:1',
        }),
      );
    expect(await refuse(new Uint8Array(5000))).toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringContaining('5000 bytes'),
    });
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      blocks: { ram: new Uint8Array(2 << 16) },
    });
    const hash = new Guest({
      blocks: [{ id: 'ram', memory: new Uint8Array(2 << 16), tracking: 'hash' }],
      ...nothing,
    });
    expect(await errorOf(hash.migrate({ uri: incoming.uri, inline: true }))).toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringContaining('by compare'),
    });
    const shared = new Guest({
      blocks: [
        {
          id: 'ram',
          memory: new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true }),
          tracking: 'hash',
        },
      ],
      ...nothing,
    });
    const incoming2 = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      blocks: { ram: new Uint8Array(2 << 16) },
    });
    expect(await errorOf(shared.migrate({ uri: incoming2.uri }))).toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringContaining('scratch'),
    });
    for (const { completed } of [incoming, incoming2]) await errorOf(completed);
    expect(() => new Guest({ blocks: [], ...nothing })).toThrow(/needs a block/);
    const busy = new Guest({ blocks: [{ id: 'ram', memory: new Uint8Array(PAGE) }], ...nothing });
    const first = busy.migrate({ uri: 'tcp:127.0.0.1:1', timeout: 1000 });
    expect(await errorOf(busy.migrate({ uri: 'tcp:127.0.0.1:1' }))).toMatchObject({
      code: 'ERR_GUEST',
    });
    expect(await errorOf(first)).toMatchObject({ code: 'ERR_CONNECT' });
  });
});

describe('a running guest, to a target that is no program', () => {
  test('into an image, over connections: what the last rounds say holds', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'multifd-test-'));
    const image = join(folder, 'image');
    const program = new Program(new WebAssembly.Memory({ initial: 20 }), new Random(SEED));
    program.start();
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', channels: 3, image });
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory, tracking: 'hash' }],
      stop: program.stop,
      resume: program.start,
      deviceState: () => [{ idstr: 'state', instanceId: 3, data: Buffer.from('hello') }],
    });
    await guest.migrate({
      uri: incoming.uri,
      channels: 3,
      downtimeLimit: 0,
      maxRounds: 4,
      onMaxRounds: 'stop',
    });
    await incoming.completed;
    const woken = new WebAssembly.Memory({ initial: 20 });
    const states: string[] = [];
    await (
      await receive({
        uri: `file:${image}`,
        blocks: { ram: woken },
        onDeviceState: ({ data }) => void states.push(Buffer.from(data).toString()),
      })
    ).completed;
    expect(Buffer.from(woken.buffer).equals(Buffer.from(program.memory.buffer))).toBe(true);
    expect(states).toEqual(['hello']);
    await rm(folder, { recursive: true });
  });
});
