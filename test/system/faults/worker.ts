/**
 * The process that runs executions, one after the other, as the runner tells it to. It is ended
 * when an oracle has found something.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '../../support/random.ts';
import type { Order, Word } from './messages.ts';
import { Fault, watched } from './oracles.ts';
import type { Counts, Execution, Part } from './part.ts';
import { PARTS } from './parts.ts';

const say = (word: Word): void => void process.send!(word);

/** What has come of the execution that is under way, by ways that it does not see itself. */
let uncaught: Fault | undefined;
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (thrown: unknown) => {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    uncaught ??= new Fault('uncaught', `${event}: ${text}`);
  });
}
process.on('warning', (warning) => {
  if (warning.name === 'MaxListenersExceededWarning') {
    uncaught ??= new Fault('leak', `${warning.name}: ${warning.message}`);
  }
});

// Streams of the process's own are opened when they are first asked for: not in the middle of an
// execution.
void [process.stdout, process.stderr];
const home = await mkdtemp(join(tmpdir(), 'multifd-faults-'));
process.once('disconnect', () => process.exit());
process.on('message', (order: Order) => {
  obey(order).catch((error: Error) => {
    console.error(error.stack);
    process.exit(1);
  });
});
say({ kind: 'ready', home });

async function obey(order: Order): Promise<void> {
  const part = PARTS.find(({ name }) => name === order.part)!;
  if (order.kind === 'points') {
    const folder = await mkdtemp(join(home, 'points-'));
    say({ kind: 'points', count: await part.points!(folder) });
    return;
  }
  for (const index of order.indices) {
    say({ kind: 'begin', index });
    const notes: string[] = [];
    const counts: Counts = { executions: 1, faultPoints: 0, kills: 0 };
    const fault = await execute(part, order.seed, index, notes, counts);
    say({ kind: 'end', index, counts, ...(fault && { fault: { ...fault, notes } }) });
    if (fault !== undefined) return;
  }
  say({ kind: 'done' });
}

async function execute(
  part: Part,
  seed: number,
  index: number,
  notes: string[],
  counts: Counts,
): Promise<{ what: string; message: string } | undefined> {
  const folder = join(home, String(index));
  let input = 0;
  const execution: Execution = {
    random: new Random(seedOf(part.name, seed, index)),
    index,
    folder,
    input: (bytes) => void (input += bytes),
    faultPoint: () => void counts.faultPoints++,
    kill: () => void counts.kills++,
    skip: () => void (counts.executions = 0),
    note: (what) => void notes.push(what),
  };
  uncaught = undefined;
  try {
    await mkdir(folder);
    const work = (): Promise<void> => part.run(execution);
    await (part.watched === false ? work() : watched(work, () => input));
    // What nobody caught is told in a turn of its own.
    await new Promise((resolve) => setImmediate(resolve));
    if (uncaught !== undefined) throw uncaught;
    return undefined;
  } catch (thrown) {
    const first = uncaught ?? thrown;
    if (first instanceof Fault) return { what: first.kind, message: first.message };
    // The harness is wrong, then: that ends the run with a failure as well.
    return { what: 'harness', message: (thrown as Error).stack ?? String(thrown) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Each execution has its own random numbers, whatever ran before it. */
function seedOf(part: string, seed: number, index: number): number {
  let hash = seed ^ Math.imul(index + 1, 0x9e3779b1);
  for (const character of part) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return hash >>> 0;
}
