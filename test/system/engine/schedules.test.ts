import { MultifdError } from 'multifd/engine';
import { describe, expect, it } from 'vitest';
import { Random, SEED } from '../../support/random.ts';
import {
  expectAccounts,
  type Kind,
  sendNumber,
  type Staged,
  staged,
  turn,
} from '../../support/engine/support.ts';

const SCHEDULES: { kind: Kind; count: number }[] = [
  { kind: 'inline', count: 150 },
  { kind: 'workers', count: 25 },
];
const ENDINGS = ['finish', 'abort', 'throw'] as const;

describe.each(SCHEDULES)('channels: $kind', ({ kind, count }) => {
  it(
    `random schedules, SEED ${SEED} and the ${count - 1} after it: sends, syncs and holds in any order, ` +
      'then the end, a cancel or a failure',
    async () => {
      for (let seed = SEED; seed < SEED + count; seed++) await run(kind, seed);
    },
  );
});

async function run(kind: Kind, seed: number): Promise<void> {
  const random = new Random(seed);
  const below = (end: number): number => random.below(end);
  const [channels, clients] = [1 + below(4), 1 + below(3)];
  const ending = ENDINGS[below(ENDINGS.length)]!;
  const at = `seed ${seed}, ${channels} channels, ${clients} clients, ${ending}`;
  const { stage, engine } = staged(kind, channels, clients);
  const cancelled = new MultifdError('ERR_CANCELLED', at);

  const over = new AbortController();
  const accepted = new Set<number>();
  const refused = new Set<number>();
  let next = 0;

  const client = async (index: number): Promise<void> => {
    for (let sends = below(25); sends > 0; sends--) {
      const number = next++;
      if (!(await sendNumber(engine, index, number, [1, 2, 7][below(3)])))
        return void refused.add(index);
      accepted.add(number);
    }
  };
  const owner = async (): Promise<void> => {
    for (let syncs = below(4); syncs > 0; syncs--) {
      const before = [...accepted];
      await engine.sync();
      const gone = sent(stage);
      for (const number of before)
        expect(gone, `${at}: payload ${number} was handed over before a sync`).toContain(number);
    }
  };
  const holdUp = async (): Promise<void> => {
    const steps = ['open', 'send', 'send', 'sync'];
    while (!over.signal.aborted) {
      stage.tell(
        steps[below(steps.length)]!,
        random.chance(0.5) ? 'hold' : 'pass',
        below(channels),
      );
      for (let turns = below(3); turns > 0; turns--) await turn();
    }
    for (const step of steps) stage.tell(step, 'pass');
  };

  // A cancel or a failure comes at any of the arrivals that there will be at least.
  const breakingIn =
    ending === 'finish'
      ? undefined
      : stage
          .arrived(1 + below(2 * channels))
          .then(() =>
            ending === 'abort'
              ? engine.abort(cancelled)
              : stage.tell('send', 'throw', below(channels)),
          );
  const holding = ending === 'throw' ? undefined : holdUp();
  const errors = await settled([
    engine.start(),
    owner(),
    ...Array.from({ length: clients }, (_, index) => client(index)),
  ]);
  await breakingIn;
  over.abort();
  await holding;
  errors.push(...(await settled([engine.finish()])));

  const { error } = engine.group;
  for (const seen of errors) expect(seen, at).toBe(error);
  if (ending === 'finish') expect(error, at).toBeUndefined();
  if (ending === 'abort') expect(error, at).toBe(cancelled);
  if (error !== undefined) await engine.abort(error);
  expectAccounts(engine, [...refused].sort());
  const gone = sent(stage);
  expect(new Set(gone).size, `${at}: each once`).toBe(gone.length);
  if (error === undefined)
    expect(
      gone.sort((a, b) => a - b),
      at,
    ).toEqual([...accepted].sort((a, b) => a - b));
  else for (const number of gone) expect(accepted, at).toContain(number);
}

function sent(stage: Staged['stage']): number[] {
  return stage
    .lines()
    .filter(({ step, end }) => step === 'send' && end)
    .map(({ value }) => value);
}

async function settled(promises: Promise<unknown>[]): Promise<unknown[]> {
  const results = await Promise.allSettled(promises);
  return results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
}
