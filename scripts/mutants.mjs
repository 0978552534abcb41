import { execFileSync, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MUTANTS } from './mutants-table.mjs';

// Whether the tests see a wrong line: `node scripts/mutants.mjs [--list] [--only NAME ...] [--trust]`.
//
// Each mutant of mutants-table.mjs is put into a copy of the tree, alone; what it changes is built,
// and the tests that it names are run. It is killed when one of them fails. Before that all these
// tests have to pass without any mutant. Ends with 1 if a mutant survives, does not build, or does
// not fit the source any more. With --trust the run without a mutant is left out.

const ROOT = fileURLToPath(new URL('../', import.meta.url));
/** What a test of the library and of its commands needs. */
const TARGETS = ['core', 'node', 'workers'];
/** A test that hangs is a kill as well: a test's own limit, and that of all of a mutant's tests. */
const TEST_MS = 20_000;
const MUTANT_MS = 120_000;

/** How often a text occurs in another. */
const occurrences = (text, part) => text.split(part).length - 1;

/** A mutant's file with its wrong line. @throws Error if the text is not there exactly once. */
function mutated({ name, file, from, to }) {
  const path = join(ROOT, file);
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const count = occurrences(text, from);
  if (count !== 1) throw new Error(`${name}: its text is ${count} times in ${file}`);
  return text.replace(from, () => to);
}

/** A copy of all that git knows or would take, with what was built; node_modules stay where they are. */
function copyTree() {
  const copy = mkdtempSync(join(tmpdir(), 'multifd-mutants-'));
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const files = execFileSync('git', list, { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 26 });
  for (const file of files.split('\0')) {
    if (file === '' || !existsSync(join(ROOT, file))) continue;
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(ROOT, file), join(copy, file));
  }
  if (existsSync(join(ROOT, 'build'))) {
    cpSync(join(ROOT, 'build'), join(copy, 'build'), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** Runs a command in the copy. @returns its exit code, `undefined` if it took too long, and output. */
function run(copy, milliseconds, command, ...args) {
  return new Promise((resolve) => {
    // In a group of its own, so that what it has started ends with it.
    const child = spawn(command, args, { cwd: copy, detached: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk) => {
        output += chunk;
      });
    }
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      process.kill(-child.pid, 'SIGKILL');
    }, milliseconds);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code: late ? undefined : code, output });
    });
  });
}

const build = (copy) => run(copy, 300_000, process.execPath, 'scripts/build.mjs', ...TARGETS);

/** Runs test files by parts of their names. */
function test(copy, filters, milliseconds, ...more) {
  const vitest = join(copy, 'node_modules/.bin/vitest');
  const config = ['--config', 'test/vitest.config.ts'];
  return run(copy, milliseconds, vitest, 'run', ...config, ...more, ...filters);
}

/** @throws Error with the output, if the copy does not build or its tests fail without a mutant. */
async function checkBase(copy, mutants) {
  const built = await build(copy);
  if (built.code !== 0) throw new Error(built.output);
  const filters = [...new Set(mutants.flatMap(({ tests }) => tests))];
  const tested = await test(copy, filters, 1_200_000, '--retry=1');
  if (tested.code !== 0) throw new Error(`without a mutant the tests fail\n${tested.output}`);
}

/** @returns what became of a mutant: killed, SURVIVED, or what is wrong with it. */
async function outcomeOf(copy, mutant) {
  const path = join(copy, mutant.file);
  const sound = readFileSync(path);
  writeFileSync(path, mutated(mutant));
  try {
    const built = await build(copy);
    if (built.code !== 0) return `does not build\n${built.output}`;
    const limits = ['--bail=1', `--testTimeout=${TEST_MS}`, `--hookTimeout=${TEST_MS}`];
    const { code, output } = await test(copy, mutant.tests, MUTANT_MS, ...limits);
    if (output.includes('No test files found')) return 'names no test';
    return code === 0 ? 'SURVIVED' : 'killed';
  } finally {
    writeFileSync(path, sound);
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      list: { type: 'boolean', default: false },
      trust: { type: 'boolean', default: false },
    },
  });
  const unknown = values.only?.find((name) => !MUTANTS.some((mutant) => mutant.name === name));
  if (unknown !== undefined) throw new Error(`no mutant ${unknown}: --list names all`);
  const mutants = MUTANTS.filter(({ name }) => values.only?.includes(name) ?? true);
  for (const mutant of mutants) mutated(mutant);
  if (values.list) {
    for (const { name, file, tests } of mutants)
      console.log(`${name}  ${file}  ${tests.join(' ')}`);
    return;
  }
  const copy = copyTree();
  try {
    if (!values.trust) await checkBase(copy, mutants);
    let killed = 0;
    for (const mutant of mutants) {
      const began = performance.now();
      const outcome = await outcomeOf(copy, mutant);
      if (outcome === 'killed') killed++;
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      console.log(`${outcome.padEnd(8)}  ${seconds.padStart(5)} s  ${mutant.name}`);
    }
    console.log(`${killed} of ${mutants.length} mutants killed`);
    if (killed < mutants.length) process.exitCode = 1;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
