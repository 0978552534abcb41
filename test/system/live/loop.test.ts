import { Guest, type LiveStatistics, receive, type Tracking } from 'multifd';
import { describe, expect, test } from 'vitest';
import { Random, SEED } from '../../support/random.ts';
import { Program, programProblem } from '../../support/program.ts';

const MIGRATIONS = 1000;
/** 64 KiB each. */
const MEMORY_PAGES = 12;

describe('a program with an invariant over all its pages', () => {
  test(`is whole after each of ${MIGRATIONS} migrations in a row, SEED ${SEED}`, async () => {
    const random = new Random(SEED);
    let program = new Program(new WebAssembly.Memory({ initial: MEMORY_PAGES }), random);
    program.start();
    const seen = { rounds: 0, resent: 0 };
    for (let n = 0; n < MIGRATIONS; n++) {
      const statistics = await moveOnce(random, program, (next) => (program = next));
      seen.rounds += statistics.ram['dirty-sync-count'];
      seen.resent += statistics.ram.normal + statistics.ram.duplicate - MEMORY_PAGES * 16;
    }
    program.stop();
    // The program did work meanwhile, or all this would show nothing.
    expect(seen.rounds).toBeGreaterThanOrEqual(2 * MIGRATIONS);
    expect(seen.resent).toBeGreaterThan(MIGRATIONS);
  }, 240_000);
});

async function moveOnce(
  random: Random,
  program: Program,
  movedTo: (next: Program) => void,
): Promise<LiveStatistics> {
  const tracking = random.pick<Tracking>(['compare', 'hash', program.log]);
  const channels = 1 + random.below(8);
  // Threads take their time to start: every so often they are the channels.
  const inline = !random.chance(0.02);
  const compression = random.pick(['none', 'none', 'none', 'zlib'] as const);
  const target = new WebAssembly.Memory({ initial: MEMORY_PAGES });
  // Whatever was there before: all of it has to be overwritten.
  if (random.chance(0.5)) new Uint8Array(target.buffer).fill(random.word());
  const incoming = await receive({
    uri: 'tcp:127.0.0.1:0',
    channels,
    compression,
    inline,
    blocks: { ram: target },
  });
  const guest = new Guest({
    blocks: [{ id: 'ram', memory: program.memory, tracking }],
    stop: program.stop,
    resume: program.start,
    sliceMs: random.pick([0.1, 0.5, 2]),
    scanShare: random.pick([0.3, 0.9]),
  });
  const statistics = await guest.migrate({
    uri: incoming.uri,
    channels,
    compression,
    inline,
    downtimeLimit: random.pick([1, 300]),
    maxRounds: 2 + random.below(4),
    onMaxRounds: 'stop',
  });
  await incoming.completed;
  expect(Buffer.from(target.buffer).equals(Buffer.from(program.memory.buffer))).toBe(true);
  expect(programProblem(target)).toBeUndefined();
  const next = new Program(target, random);
  next.start();
  movedTo(next);
  return statistics;
}
