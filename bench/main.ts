/**
 * The benchmark: what this project does beside what others do, on this machine, in one run. It
 * measures in parts; each of them is a list of cases, each case a list of contenders that take
 * turns. What is aimed at is compared with what was measured.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { corePart } from './core/part.ts';
import { enginePart } from './engine/part.ts';
import { filesPart } from './files/part.ts';
import { growthPart } from './growth/part.ts';
import type { Part, PartResult } from './lib/part.ts';
import { reportOf } from './lib/report.ts';
import { keep } from './lib/keep.ts';
import { runPart } from './lib/run-part.ts';
import { ROOT, Tools } from './lib/tools.ts';
import { migrationPart } from './migration/part.ts';
import { postcopyPart } from './postcopy/part.ts';

const PARTS: readonly Part[] = [
  migrationPart,
  filesPart,
  corePart,
  enginePart,
  growthPart,
  postcopyPart,
];
const NAMES = PARTS.map(({ name }) => name);
/** Where memory is a file. */
const SHARED_MEMORY = '/dev/shm';

interface Options {
  only: string[];
  cases: string;
  rounds: number;
  quick: boolean;
  out?: string;
  write: boolean;
}

const { only, cases, rounds, quick, out, write } = new Command('npm run bench --')
  .description(
    'Measures this project beside others, and compares what it aims at with what it reaches.',
  )
  .option('--only <parts>', `some of ${NAMES.join(',')}`, someOf, NAMES)
  .option('--cases <text>', 'of these parts only what has this in its name; nothing is written', '')
  .option('--rounds <count>', 'how often each contender is measured', count, 5)
  .option(
    '--quick',
    'small amounts, to see that everything works; nothing is written unless --out is given',
    false,
  )
  .option(
    '--out <folder>',
    'where bench.json and bench.svg go; parts that were not measured stay as they are there ' +
      '(default: docs)',
  )
  .option('--no-write', 'print only')
  .allowExcessArguments(false)
  .parse()
  .opts<Options>();

function someOf(text: string): string[] {
  const names = text.split(',');
  const unknown = names.filter((name) => !NAMES.includes(name));
  if (unknown.length > 0) throw new InvalidArgumentError(`there is no ${unknown.join(', ')}.`);
  return names;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError('give a whole number, 1 or more.');
  return value;
}

async function run(): Promise<void> {
  const folder = temporaryFolder(tmpdir());
  const memoryFolder = existsSync(SHARED_MEMORY) ? temporaryFolder(SHARED_MEMORY) : folder;
  const setting = { tools: new Tools(), quick, folder, memoryFolder };
  const results: PartResult[] = [];
  for (const part of PARTS.filter(({ name }) => only.includes(name))) {
    const result = await runPart(part, setting, rounds, cases);
    console.log(reportOf(result));
    results.push(result);
  }
  if (write && cases === '' && (!quick || out !== undefined))
    await keep(out ?? fileURLToPath(new URL('docs', ROOT)), results, NAMES);
}

/**
 * Gone with this process, whatever ends it: what is left in shared memory takes it from everyone.
 */
function temporaryFolder(parent: string): string {
  const folder = mkdtempSync(join(parent, 'multifd-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
await run();
