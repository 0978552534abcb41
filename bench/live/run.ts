import { said, withChildren } from '../lib/child.ts';
import type { ClassifiedConnection, Departure, Measure, TargetWord } from './measure.ts';

/** One measurement. Milliseconds. */
export interface Result {
  /** From the guest's last turn at the source to its first at the target. */
  downtime: number;
  total: number;
  rounds: number;
  /** The guest's turns per second while it was moved, of those when it was alone. */
  throughput: number;
  /**
   * The longest time that the source's thread was kept from the guest, alone and while it was
   * moved.
   */
  gapAlone: number;
  gapMoving: number;
  /** How often it was kept for longer than 5 ms. */
  longGaps: number;
}

const SOURCE = new URL('./live/source.js', import.meta.url);
const TARGET = new URL('./live/target.js', import.meta.url);

/** Measures once, in fresh processes. @throws when what came is not what left. */
export function measureOnce(measure: Measure): Promise<Result> {
  return withChildren(async (start) => {
    const target = start(TARGET, measure);
    const { uri } = await said<Extract<TargetWord, { kind: 'listening' }>>(target);
    const arrived = said<Extract<TargetWord, { kind: 'arrived' }>>(target);
    const [departure, { arrival }] = await Promise.all([
      said<Departure>(start(SOURCE, { measure, uri })),
      arrived,
    ]);
    check(departure, arrival);
    const { total, rounds, alone, moving } = departure;
    return {
      downtime: arrival.first - departure.last,
      total,
      rounds,
      throughput: moving.transactions / moving.duration / (alone.transactions / alone.duration),
      gapAlone: alone.longestGap,
      gapMoving: moving.longestGap,
      longGaps: moving.longGaps,
    };
  });
}

function check({ digest }: Departure, arrival: ClassifiedConnection): void {
  if (digest !== arrival.digest) throw new Error('what came is not what left');
  if (arrival.problems.length > 0) throw new Error(arrival.problems.join('; '));
}
