import { Guest, receive, type Tracking } from 'multifd';
import { describe, expect, test } from 'vitest';
import { errorOf } from '../../support/migration.ts';
import { Random, SEED } from '../../support/random.ts';
import { Program } from '../../support/program.ts';

const FIRST = 10;
const MOST = 40;

describe(`a memory that grows while it is moved, SEED ${SEED}`, () => {
  const cases = (['compare', 'hash', 'bitmap'] as const).flatMap((method) => [
    { method, shared: false, inline: false, compression: 'none' as const },
    { method, shared: false, inline: true, compression: 'zlib' as const },
    { method, shared: true, inline: false, compression: 'none' as const },
  ]);

  test.each(cases)(
    'is followed: $method, shared $shared, inline $inline, $compression',
    async ({ method, shared, inline, compression }) => {
      const random = new Random(SEED);
      const memory = (): WebAssembly.Memory =>
        new WebAssembly.Memory({ initial: FIRST, maximum: MOST, shared });
      const program = new Program(memory(), random, 5);
      const tracking: Tracking = method === 'bitmap' ? program.log : method;
      const target = memory();
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        channels: 3,
        compression,
        inline,
        blocks: { ram: target },
      });
      const guest = new Guest({
        blocks: [
          { id: 'ram', memory: program.memory, tracking, ...(shared && { scratch: 65536 }) },
        ],
        stop() {
          program.stop();
          // At the last moment.
          program.memory.grow(1);
          new Uint8Array(program.memory.buffer).fill(5, -60_000);
        },
        resume: program.start,
      });
      program.step(100);
      // A program that is passed on by threads of its own would grow in its own turns; this one
      // does at the end of a round.
      let grown = 0;
      program.start();
      const statistics = await guest.migrate({
        uri: incoming.uri,
        channels: 3,
        compression,
        inline,
        onRound() {
          if (++grown <= 3) program.memory.grow(grown);
        },
      });
      const received = await incoming.completed;
      expect(target.buffer.byteLength).toBe(program.memory.buffer.byteLength);
      expect(received.blocks).toEqual([
        { id: 'ram', 'used-length': program.memory.buffer.byteLength },
      ]);
      expect(statistics.blocks).toEqual(received.blocks);
      const [there, here] = [Buffer.from(target.buffer), Buffer.from(program.memory.buffer)];
      // What was lent for the hashes is not the program's.
      if (shared) for (const bytes of [there, here]) bytes.fill(0, 65536, 65536 + 16384);
      expect(there.equals(here)).toBe(true);
    },
  );

  test('a program goes on growing there', async () => {
    const program = new Program(
      new WebAssembly.Memory({ initial: FIRST, maximum: MOST }),
      new Random(SEED),
    );
    program.start();
    const target = new WebAssembly.Memory({ initial: FIRST, maximum: MOST });
    const asked: number[] = [];
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      // By an allocator of the program's own, which takes more than it needs.
      blocks({ usedLength }) {
        asked.push(usedLength);
        if (target.buffer.byteLength < usedLength)
          target.grow((usedLength - target.buffer.byteLength) / 65536 + 2);
        return target;
      },
    });
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory }],
      stop: program.stop,
      resume: program.start,
    });
    let grown = false;
    await guest.migrate({
      uri: incoming.uri,
      inline: true,
      onRound() {
        if (!grown) program.memory.grow(6);
        grown = true;
      },
    });
    await incoming.completed;
    expect(asked).toEqual([FIRST << 16, (FIRST + 6) << 16]);
    expect(target.buffer.byteLength).toBe((FIRST + 8) << 16);
    expect(
      Buffer.from(target.buffer, 0, (FIRST + 6) << 16).equals(Buffer.from(program.memory.buffer)),
    ).toBe(true);
  });

  test.each([
    ['a buffer of fixed size', () => ({ ram: new Uint8Array(FIRST << 16) })],
    [
      'a memory at its maximum',
      () => ({ ram: new WebAssembly.Memory({ initial: FIRST, maximum: FIRST }) }),
    ],
  ])('%s can not follow: the program is never stopped, and goes on', async (_, blocks) => {
    const program = new Program(
      new WebAssembly.Memory({ initial: FIRST, maximum: MOST }),
      new Random(SEED),
    );
    program.start();
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', inline: true, blocks: blocks() });
    let stops = 0;
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory }],
      stop() {
        stops++;
        program.stop();
      },
      resume: program.start,
    });
    const failed = errorOf(
      guest.migrate({
        uri: incoming.uri,
        inline: true,
        onRound: ({ round }) => void (round === 2 && program.memory.grow(1)),
      }),
    );
    expect(await errorOf(incoming.completed)).toMatchObject({ code: 'ERR_BLOCK_LENGTH' });
    expect(await failed).toMatchObject({ code: 'ERR_REMOTE' });
    expect({ stops, running: program.running }).toEqual({ stops: 0, running: true });
    program.stop();
  });

  test('a target of a machine type that has no rounds of its own is not told: the program goes on', async () => {
    const memory = new WebAssembly.Memory({ initial: FIRST, maximum: MOST });
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      blocks: { ram: new WebAssembly.Memory({ initial: FIRST }) },
    });
    const guest = new Guest({ blocks: [{ id: 'ram', memory }], stop() {}, resume() {} });
    const moving = guest.migrate({
      uri: incoming.uri,
      inline: true,
      machine: 'pc-i440fx-7.2',
      downtimeLimit: 0,
      onRound: () => void memory.grow(1),
    });
    expect(await errorOf(moving)).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    await errorOf(incoming.completed);
  });
});
