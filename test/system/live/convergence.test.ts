import { Guest, type LiveStatistics, type Round, receive } from 'multifd';
import { describe, expect, test } from 'vitest';
import { errorOf } from '../../support/migration.ts';
import { Random, SEED } from '../../support/random.ts';
import { Program, programProblem } from '../../support/program.ts';

const MEMORY_PAGES = 16;

/**
 * A program that writes to most of its pages in each of its turns: it changes them faster than any
 * round can send them.
 */
function busyProgram(): Program {
  return new Program(new WebAssembly.Memory({ initial: MEMORY_PAGES }), new Random(SEED), 400);
}

async function target() {
  const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES });
  return {
    memory,
    incoming: await receive({ uri: 'tcp:127.0.0.1:0', inline: true, blocks: { ram: memory } }),
  };
}

describe('a program that changes its memory as fast as it is sent', () => {
  test('fails to move, by default, after maxRounds, and goes on', async () => {
    const program = busyProgram();
    const { incoming } = await target();
    program.start();
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory }],
      stop: program.stop,
      resume: program.start,
    });
    const rounds: Round[] = [];
    const error = await errorOf(
      guest.migrate({
        uri: incoming.uri,
        inline: true,
        downtimeLimit: 0,
        maxRounds: 5,
        onRound: (round) => rounds.push(round),
      }),
    );
    expect(error).toMatchObject({
      code: 'ERR_NOT_CONVERGED',
      message: expect.stringContaining('after 5 rounds'),
    });
    await errorOf(incoming.completed);
    expect(rounds.map(({ round }) => round)).toEqual([1, 2, 3, 4, 5]);
    expect(
      rounds
        .slice(1)
        .every((round) => round['dirty-pages-rate'] > 0 && round['expected-downtime']! > 0),
    ).toBe(true);
    expect(program.running).toBe(true);
    program.step(10_000);
    program.stop();
    expect(programProblem(program.memory)).toBeUndefined();
  });

  test('is stopped after maxRounds where that is asked for', async () => {
    const program = busyProgram();
    const { memory, incoming } = await target();
    program.start();
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory, tracking: 'hash' }],
      stop: program.stop,
      resume: program.start,
    });
    const statistics = await guest.migrate({
      uri: incoming.uri,
      inline: true,
      downtimeLimit: 0,
      maxRounds: 3,
      onMaxRounds: 'stop',
    });
    await incoming.completed;
    expect(statistics.ram['dirty-sync-count']).toBe(3);
    expect(programProblem(memory)).toBeUndefined();
    expect(Buffer.from(memory.buffer).equals(Buffer.from(program.memory.buffer))).toBe(true);
  });

  test(
    'is throttled by 20 %, then 10 % more each time, up to 99 %, and no longer once the ' +
      'migration has failed',
    async () => {
      const program = busyProgram();
      const { incoming } = await target();
      program.start();
      const shares: number[] = [];
      const seen: LiveStatistics[] = [];
      const guest = new Guest({
        blocks: [{ id: 'ram', memory: program.memory }],
        stop: program.stop,
        resume: program.start,
        throttle: (share) => shares.push(share),
      });
      const options = {
        uri: incoming.uri,
        inline: true,
        downtimeLimit: 0,
        maxRounds: 21,
        autoConverge: true,
        onProgress: (statistics: LiveStatistics) => seen.push(statistics),
      };
      expect(await errorOf(guest.migrate(options))).toMatchObject({ code: 'ERR_NOT_CONVERGED' });
      await errorOf(incoming.completed);
      expect(shares).toEqual([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 0]);
      expect(seen.at(-1)!['cpu-throttle-percentage']).toBe(99);
      program.stop();
    },
  );

  test('moves once it has been throttled enough', async () => {
    // Sending all of it takes milliseconds; a round that finds nothing, with a dirty log, takes
    // next to no time.
    const initial = 256;
    const program = new Program(new WebAssembly.Memory({ initial }), new Random(SEED), 6000);
    const memory = new WebAssembly.Memory({ initial });
    const incoming = await receive({
      uri: 'tcp:127.0.0.1:0',
      inline: true,
      blocks: { ram: memory },
    });
    program.start();
    let share = 0;
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory, tracking: program.log }],
      stop: () => (share < 0.4 ? program.stop() : undefined),
      resume: program.start,
      // A program that heeds it in the simplest way: it rests from 40 % on.
      throttle(asked) {
        share = asked;
        if (share === 0.4) program.stop();
      },
    });
    const rounds: Round[] = [];
    await guest.migrate({
      uri: incoming.uri,
      inline: true,
      downtimeLimit: 1,
      autoConverge: true,
      onRound: (round) => rounds.push(round),
    });
    await incoming.completed;
    expect(rounds.at(-1)!.dirty).toBe(0);
    expect(share).toBe(0.4);
    expect(programProblem(memory)).toBeUndefined();
  });
});
