import { spawn } from 'node:child_process';
import { appendFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { finishImageUpdate, Guest, inspectRecording } from 'multifd';
import { digestOf } from '../contents.ts';
import { demand, ending, type Ending, Fault } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';
import { before as firstMemory } from './memory.ts';
import { kindsOf, type Operation, parseLog, type Point } from './points.ts';
import { prepared, type Scenario, SCENARIOS } from './scenarios.ts';

const PRELOAD = fileURLToPath(new URL('./preload.js', import.meta.url));

/** Milliseconds that a process may take: its time-out is 2 s. */
const PROCESS_LIMIT = 30_000;

interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
  peer: Ending<unknown> | undefined;
}

/** Runs a scenario's process, and its other end, to their ends. */
async function perform(
  scenario: Scenario,
  folder: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<Ended> {
  const stop = new AbortController();
  const early = scenario.early ? scenario.peer!(folder, stop.signal) : undefined;
  early?.catch(() => {});
  const child = spawn(process.execPath, ['--import', PRELOAD, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', MULTIFD_FAULT_ROOT: folder, ...env },
  });
  let stderr = '';
  let stdout = '';
  let called: Promise<Ending<unknown>> | undefined;
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout = (stdout + text).slice(-10_000);
    if (called !== undefined || scenario.early || !stdout.includes('"event":"listening"')) return;
    called = scenario.peer?.(folder, stop.signal);
    called?.catch(() => {});
  });
  let hung = false;
  const watchdog = setTimeout(() => {
    hung = true;
    child.kill('SIGKILL');
  }, PROCESS_LIMIT);
  const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once('close', (code, name) => resolve([code, name]));
  });
  clearTimeout(watchdog);
  // A peer that listens, and to which nothing came, would wait on.
  const grace = setTimeout(() => stop.abort(), 4000);
  const peer = await (early ?? called)?.finally(() => clearTimeout(grace));
  clearTimeout(grace);
  const late = `the process did not end within ${PROCESS_LIMIT / 1000} s\n${stderr}`;
  if (hung) throw new Fault('hang', late);
  return { status, signal, stderr, peer };
}

interface Reference {
  operations: Operation[];
  /** What is there before and afterwards. */
  before: string;
  after: string;
}

/** What a run without any failure does. */
async function measure(scenario: Scenario, folder: string): Promise<Reference> {
  const work = join(folder, 'reference');
  await mkdir(work);
  await prepared(scenario, work);
  const before = await outputOf(scenario, work);
  const log = join(folder, 'log');
  await appendFile(log, '');
  const command = scenario.command(work);
  const { status, stderr } = await perform(scenario, work, command, { MULTIFD_FAULT_LOG: log });
  if (status !== 0) throw new Error(`${scenario.name} fails by itself: ${stderr}`);
  const operations = parseLog(await readFile(log, 'utf8'));
  return { operations, before, after: await outputOf(scenario, work) };
}

const outputOf = async ({ output }: Scenario, folder: string): Promise<string> =>
  output === undefined ? 'none' : digestOf(join(folder, output.path), output.kind);

async function sourcesOf({ sources }: Scenario, folder: string): Promise<string> {
  const digests = sources.map((name) => digestOf(join(folder, name), 'file'));
  return (await Promise.all(digests)).join();
}

interface PointOf extends Point {
  scenario: Scenario;
  reference: Reference;
  name: string;
}

let all: Promise<PointOf[]> | undefined;

/** Every operation of every scenario, in each way in which it can fail. */
async function measureAll(folder: string): Promise<PointOf[]> {
  const points: PointOf[] = [];
  for (const scenario of SCENARIOS) {
    const own = join(folder, scenario.name);
    await mkdir(own, { recursive: true });
    const reference = await measure(scenario, own);
    for (const operation of reference.operations) {
      for (const kind of kindsOf(operation)) {
        points.push({ ...operation, kind, scenario, reference });
      }
    }
  }
  return points;
}

async function failAt(
  { folder, note, faultPoint, kill }: Execution,
  { scenario, reference, thread, number, kind, name }: PointOf,
): Promise<void> {
  note(`${scenario.name}: ${kind} at operation ${number} of thread ${thread}, ${name}`);
  if (kind === 'kill') kill();
  else faultPoint();
  const work = join(folder, 'work');
  await mkdir(work);
  await prepared(scenario, work);
  const sources = await sourcesOf(scenario, work);
  const env = { MULTIFD_FAULT_POINT: `${thread}:${number}:${kind}` };
  const ended = await perform(scenario, work, scenario.command(work), env);
  note(`ended with ${ended.signal ?? ended.status}: ${ended.stderr.trim()}`);
  // An operation that the run before had, and this one has not, kills nobody.
  const killed = ended.signal === 'SIGKILL' || ended.status === 0;
  if (kind === 'kill') demand(killed, 'outcome', 'not killed');
  else checkEnd(ended, kind);
  demand((await sourcesOf(scenario, work)) === sources, 'torn', 'a source was written to');
  await checkOutput(scenario, work, reference, ended);
}

/** A process ends by itself, with 0 or with one error of the project's. */
function checkEnd({ status, signal, stderr }: Ended, kind: Point['kind']): void {
  demand(signal === null, 'uncaught', `ended by ${signal}`);
  demand(kind !== 'short' || status === 0, 'outcome', 'half at a time is no failure');
  const errors = [...stderr.matchAll(/^multifd: (ERR_[A-Z_]+): /gm)].map(([, code]) => code);
  const stack = /^\s+at |^node:|Uncaught/m.test(stderr);
  demand(!stack, 'raw error', stderr);
  if (status === 0) demand(errors.length === 0, 'outcome', `0 after ${errors.join()}`);
  else demand(errors.length === 1, 'outcome', `${errors.length} errors\n${stderr}`);
  const own = errors.find((code) => code === 'ERR_INTERNAL' || code === 'ERR_ENGINE');
  demand(own === undefined, 'raw error', stderr);
}

/** The output is what it was, or what it has to be; and the next run leaves nothing else there. */
async function checkOutput(
  scenario: Scenario,
  work: string,
  { before, after }: Reference,
  { status, stderr, peer }: Ended,
): Promise<void> {
  const { output } = scenario;
  if (output === undefined) {
    const told = status !== 0 || peer?.error === undefined;
    demand(told, 'outcome', `completed, and the other end: ${peer?.error?.message}`);
    return;
  }
  const path = join(work, output.path);
  const { value: found, error } = await ending(outputOf(scenario, work));
  demand(error === undefined, 'torn', `what is there can not be read: ${error?.message}`);
  const done = `completed, and ${found} is there, not ${after}`;
  if (status === 0) demand(found === after, 'wrong bytes', done);
  if (peer !== undefined && peer.error === undefined) {
    demand(found === after, 'outcome', 'the other end was told that all is kept, and it is not');
  }
  const first = scenario.name === 'snapshot and its update' ? await firstSnapshot(work) : undefined;
  const known = [before, after, 'absent', ...(first === undefined ? [] : [first])];
  demand(known.includes(found!), 'torn', `what is there is neither old nor new: ${found}`);
  const hidden = await hiddenIn(work);
  if (found === 'absent' && output.kind === 'image') {
    await finish(scenario, work, path, hidden, after);
  } else if (found === 'absent' && before !== 'absent' && output.kind === 'recording') {
    // Between two renames neither has the name: who looks for the recording gives it to the new one.
    const { error: lost } = await ending(inspectRecording(path));
    demand(lost === undefined, 'torn', `what was there is gone: ${lost?.message}`);
    const brought = await outputOf(scenario, work);
    demand(brought === after, 'torn', `what is brought back is ${brought}, not ${after}`);
  } else demand(found !== 'absent' || before === 'absent', 'torn', 'what was there is gone');
  if (scenario.again === undefined || (status === 0 && hidden.length === 0)) return;
  const again = await perform(scenario, work, scenario.again(work), {});
  demand(again.status === 0, 'outcome', `the next run: ${again.stderr}`);
  const now = await outputOf(scenario, work);
  demand(now === after, 'wrong bytes', `after the next run ${now} is there, not ${after}`);
  // What came whole and could not get its name is kept, and the error says where. What this process
  // has prepared can't be told from what it is at work with.
  const left = (await hiddenIn(work)).filter(
    (name) => !stderr.includes(name) && !name.includes(`-${process.pid}-`),
  );
  demand(left.length === 0, 'leak', `the next run leaves ${left.map(kindOf).join(', ')}`);
}

const kindOf = (name: string): string => name.replace(/-[0-9a-f]{12}/, '').replace(/\d+/, 'PID');

async function hiddenIn(work: string): Promise<string[]> {
  return (await readdir(join(work, 'out'))).filter((name) => name.startsWith('.'));
}

/** The name is nobody's: then there was none before, or what is there makes the new image. */
async function finish(
  scenario: Scenario,
  work: string,
  path: string,
  hidden: readonly string[],
  after: string,
): Promise<void> {
  const aside = hidden.some((name) => name.endsWith('.image'));
  const { value: stamp, error } = await ending(finishImageUpdate(path));
  if (!aside) return;
  const why = `the image is set aside, and is not finished: ${error?.message}`;
  demand(stamp !== undefined, 'torn', why);
  const found = await outputOf(scenario, work);
  demand(found === after, 'torn', `finished, ${found} is there, not ${after}`);
}

let first: string | undefined;

/** What the first of the two snapshots has. */
async function firstSnapshot(work: string): Promise<string> {
  if (first === undefined) {
    const blocks = [{ id: 'ram', memory: firstMemory() }];
    const guest = new Guest({ blocks, stop() {}, resume() {} });
    const image = join(work, 'first');
    await guest.snapshot({ path: image, inline: true });
    first = await digestOf(image, 'image');
  }
  return first;
}

export const filesPart: Part = {
  name: 'files',
  what: 'each file operation of each command fails once, or is the last: killed',
  executions: { whole: Infinity, short: 12 },
  // Its processes are looked at, and nothing of this one.
  watched: false,
  points: async (folder) => (await (all ??= measureAll(folder))).length,
  async run(execution) {
    const points = await (all ??= measureAll(execution.folder));
    const point = points[execution.index];
    // Not each run has as many operations as the one before.
    if (point === undefined) return execution.skip();
    await failAt(execution, point);
  },
};
