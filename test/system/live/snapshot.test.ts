import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guest, inspectImage, receive, type Round, type Tracking } from 'multifd';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { errorOf } from '../../support/migration.ts';
import { Random, SEED } from '../../support/random.ts';
import { Program, programProblem } from '../../support/program.ts';

const MEMORY_PAGES = 30;

describe(`snapshots of a running program, SEED ${SEED}`, () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'multifd-test-'));
    path = join(folder, 'program.img');
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** The program started from an image: in a memory of its own. */
  async function wake(): Promise<{ program: Program; host: string }> {
    const { blocks } = await inspectImage(path);
    const memory = new WebAssembly.Memory({ initial: blocks[0]!.usedLength / 65536 });
    let host = '';
    let program: Program | undefined;
    const incoming = await receive({
      uri: `file:${path}`,
      blocks: { ram: memory },
      onDeviceState: ({ data }) => void (host = Buffer.from(data).toString()),
      start() {
        program = new Program(memory, new Random(SEED));
      },
    });
    await incoming.completed;
    return { program: program!, host };
  }

  test.each<'compare' | 'hash' | 'bitmap'>(['compare', 'hash', 'bitmap'])(
    'one after the other into one file, by %s: each is the program as it was stopped',
    async (method) => {
      const random = new Random(SEED);
      const program = new Program(new WebAssembly.Memory({ initial: MEMORY_PAGES }), random);
      const tracking: Tracking = method === 'bitmap' ? program.log : method;
      let stopped = Buffer.alloc(0);
      let stops = 0;
      const guest = new Guest({
        blocks: [{ id: 'ram', memory: program.memory, tracking }],
        stop() {
          program.stop();
          stopped = Buffer.from(Buffer.from(program.memory.buffer));
        },
        resume() {
          expect(Buffer.from(program.memory.buffer).equals(stopped)).toBe(true);
          program.start();
        },
        deviceState: () => [{ idstr: 'host', instanceId: 0, data: Buffer.from(`stop ${++stops}`) }],
      });
      const still = new Guest({
        blocks: [{ id: 'ram', memory: program.memory, tracking }],
        stop() {},
        resume() {},
      });
      program.start();
      let inode: number | undefined;
      for (let n = 1; n <= 4; n++) {
        const rounds: Round[] = [];
        const statistics = await guest.snapshot({
          path,
          channels: 1 + random.below(4),
          inline: random.chance(0.5),
          onRound: (round) => rounds.push(round),
        });
        if (n === 1) expect(rounds[0]!.dirty).toBe(MEMORY_PAGES * 16);
        expect(statistics.downtime).toBeGreaterThan(0);
        const { ino } = await stat(path);
        expect(ino).toBe((inode ??= ino));
        expect(program.running).toBe(true);
        const woken = await wake();
        expect(woken.host).toBe(`stop ${n}`);
        expect(Buffer.from(woken.program.memory.buffer).equals(stopped)).toBe(true);
        expect(programProblem(woken.program.memory)).toBeUndefined();
        woken.program.step(2000);
        expect(programProblem(woken.program.memory)).toBeUndefined();
      }
      program.stop();
      expect(await readdir(folder)).toEqual(['program.img']);

      // Of a program that does little, little is written.
      await still.snapshot({ path, force: true });
      for (let n = 0; n < 3; n++) {
        program.step(5);
        const { ram } = await still.snapshot({ path });
        expect(ram.normal + ram.duplicate).toBeGreaterThanOrEqual(5);
        expect(ram.normal + ram.duplicate).toBeLessThanOrEqual(20);
        expect(
          Buffer.from((await wake()).program.memory.buffer).equals(
            Buffer.from(program.memory.buffer),
          ),
        ).toBe(true);
      }
    },
  );

  test('suspended to a file, it stays stopped', async () => {
    const program = new Program(
      new WebAssembly.Memory({ initial: MEMORY_PAGES }),
      new Random(SEED),
    );
    program.start();
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory }],
      stop: program.stop,
      resume: program.start,
    });
    const statistics = await guest.migrate({ uri: `file:${path}` });
    expect(program.running).toBe(false);
    expect(statistics.downtime).toBeGreaterThan(0);
    const woken = await wake();
    expect(
      Buffer.from(woken.program.memory.buffer).equals(Buffer.from(program.memory.buffer)),
    ).toBe(true);
  });

  test('a program that grows while it is written gets a file that has room for it', async () => {
    const program = new Program(
      new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES + 8 }),
      new Random(SEED),
    );
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory }],
      stop: program.stop,
      resume: program.start,
    });
    program.step(10);
    let rounds = 0;
    program.start();
    const grow = (): void => {
      if (++rounds <= 2) program.memory.grow(4);
    };
    await guest.snapshot({ path, onRound: grow });
    expect((await inspectImage(path)).blocks).toMatchObject([
      { usedLength: (MEMORY_PAGES + 8) << 16 },
    ]);
    // And one that has grown since its last snapshot.
    program.stop();
    const small = new WebAssembly.Memory({ initial: 1, maximum: 2 });
    const growing = new Guest({ blocks: [{ id: 'ram', memory: small }], stop() {}, resume() {} });
    const other = join(folder, 'other.img');
    await growing.snapshot({ path: other });
    small.grow(1);
    await growing.snapshot({ path: other });
    expect((await inspectImage(other)).blocks).toMatchObject([{ usedLength: 2 << 16 }]);
  });

  test('one that fails leaves the one before, and the program at work; the next has everything', async () => {
    const program = new Program(
      new WebAssembly.Memory({ initial: MEMORY_PAGES }),
      new Random(SEED),
    );
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory }],
      stop: program.stop,
      resume: program.start,
    });
    program.start();
    await guest.snapshot({ path });
    const before = await wake();
    const cancel = new AbortController();
    expect(
      await errorOf(
        guest.snapshot({
          path,
          signal: cancel.signal,
          downtimeLimit: 0,
          onRound: () => cancel.abort(),
        }),
      ),
    ).toMatchObject({ code: 'ERR_CANCELLED' });
    expect(program.running).toBe(true);
    expect(await readdir(folder)).toEqual(['program.img']);
    expect(
      Buffer.from((await wake()).program.memory.buffer).equals(
        Buffer.from(before.program.memory.buffer),
      ),
    ).toBe(true);
    const statistics = await guest.snapshot({ path });
    expect(statistics.ram.normal + statistics.ram.duplicate).toBeGreaterThanOrEqual(
      MEMORY_PAGES * 16,
    );
    await writeFile(path, 'someone else was here');
    expect(await errorOf(guest.snapshot({ path }))).toMatchObject({ code: 'ERR_EXISTS' });
    program.stop();
    expect(programProblem(program.memory)).toBeUndefined();
  });
});
