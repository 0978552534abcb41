/**
 * Feeds every reader of the project hostile inputs, and makes files, processes and connections fail
 * at every point:
 *
 *     npm run test:faults [-- OPTIONS]
 *     npm run test:faults -- --replay PART:SEED:INDEX
 *
 * Options: `--seed N`, `--only PART[,PART]`, `--executions N`, `--minutes M`, `--short`, `--jobs N`.
 * Prints what was run and what was found, and exits with 1 if anything was.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { SEED } from '../../support/random.ts';
import { PARTS } from './parts.ts';
import type { Part } from './part.ts';
import { type Finding, type Outcome, runPart, type RunOptions } from './runner.ts';
import { table } from './table.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    only: { type: 'string' },
    executions: { type: 'string' },
    minutes: { type: 'string' },
    short: { type: 'boolean', default: false },
    jobs: { type: 'string' },
    replay: { type: 'string' },
  },
});

function partNamed(name: string): Part {
  const part = PARTS.find((one) => one.name === name);
  if (part === undefined) {
    throw new Error(`no part ${name}; there are ${PARTS.map((one) => one.name).join(', ')}`);
  }
  return part;
}

function whole(text: string, what: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`${what} ${text}: give a whole number`);
  return Number(text);
}

function show({ part, seed, index, what, message, notes }: Finding): void {
  const lines = [`${what} in ${part}, execution ${index}`, ...notes, ...message.trim().split('\n')];
  console.error(`\n${lines.join('\n    ')}\n    again: --replay ${part}:${seed}:${index}`);
}

const [replayed, replaySeed, replayIndex] = values.replay?.split(':') ?? [];
const seed = whole(replaySeed ?? values.seed ?? String(SEED), 'seed') >>> 0;
const names = replayed ?? values.only;
const parts = names === undefined ? PARTS : names.split(',').map(partNamed);
const size = values.short ? 'short' : 'whole';
const minutes = values.minutes === undefined ? Infinity : Number(values.minutes);
const most = values.minutes === undefined ? undefined : Infinity;
const options: RunOptions = {
  seed,
  most: ({ executions, points }) => {
    if (values.executions !== undefined) return whole(values.executions, 'executions');
    // Those that have no points go on until the time is over.
    return most !== undefined && points === undefined ? 1e6 : executions[size];
  },
  until: Date.now() + minutes * 60_000,
  onFinding: show,
  ...(replayIndex !== undefined && { only: [whole(replayIndex, 'execution')] }),
};

const queue = [...parts];
const outcomes = new Map<Part, Outcome>();
const work = async (): Promise<void> => {
  for (let part = queue.shift(); part !== undefined; part = queue.shift()) {
    // What is left of the time is shared by the parts that are left.
    const share = (options.until - Date.now()) * (jobs / (queue.length + jobs));
    outcomes.set(part, await runPart(part, { ...options, until: Date.now() + share }));
  }
};
const jobs = whole(values.jobs ?? String(Math.min(4, availableParallelism())), 'jobs');
await Promise.all(Array.from({ length: jobs }, work));

const done = parts.map((part) => outcomes.get(part)!);
console.log(table(done, seed));
if (done.some(({ findings }) => findings.length > 0)) process.exitCode = 1;
