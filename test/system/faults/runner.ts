import { type ChildProcess, fork } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Random } from '../../support/random.ts';
import type { Found, Order, Word } from './messages.ts';
import type { Counts, Part } from './part.ts';

/** A fault, and what runs it again. */
export interface Finding extends Found {
  part: string;
  seed: number;
  index: number;
}

export interface Outcome {
  part: Part;
  counts: Counts;
  /** Points that there are in all, where they are counted. */
  points: number | undefined;
  /** One of each: what fails alike counts once. */
  findings: Finding[];
}

export interface RunOptions {
  seed: number;
  /** The most executions of a part. */
  most: (part: Part) => number;
  /** Begins no further execution after this time (of Date.now()). */
  until: number;
  /** Only these executions. */
  only?: readonly number[];
  onFinding: (finding: Finding) => void;
}

/**
 * Milliseconds without a word from a worker after which it hangs: nothing that it waits for takes
 * as long.
 */
const WATCHDOG = 90_000;
/** Executions that a worker is given at a time. */
const BATCH = 50;

/**
 * Runs a part's executions in a worker, which is started anew whenever an oracle has found
 * something.
 */
export async function runPart(part: Part, options: RunOptions): Promise<Outcome> {
  const counts: Counts = { executions: 0, faultPoints: 0, kills: 0 };
  const findings: Finding[] = [];
  let points: number | undefined;
  let worker: Worker | undefined;
  const send = async (order: Order, hear: (word: Word) => void): Promise<Found | undefined> => {
    worker ??= await Worker.start();
    const died = await worker.obey(order, hear);
    if (died !== undefined) worker = undefined;
    return died;
  };
  try {
    if (part.points !== undefined) {
      const died = await send({ kind: 'points', part: part.name }, (word) => {
        if (word.kind === 'points') points = word.count;
      });
      if (died !== undefined) throw new Error(`the points of ${part.name}: ${died.message}`);
    }
    const queue = options.only ?? chosen(part, points, options);
    for (let at = 0; at < queue.length && Date.now() < options.until; ) {
      const indices = queue.slice(at, at + BATCH);
      let under = indices[0]!;
      let fault: Found | undefined;
      const order = { kind: 'run', part: part.name, seed: options.seed, indices } as const;
      const died = await send({ ...order, indices: [...indices] }, (word) => {
        if (word.kind === 'begin') under = word.index;
        if (word.kind !== 'end') return;
        at++;
        counts.executions += word.counts.executions;
        counts.faultPoints += word.counts.faultPoints;
        counts.kills += word.counts.kills;
        fault = word.fault;
      });
      if (died !== undefined) {
        at++;
        counts.executions++;
      }
      const found = fault ?? died;
      if (found === undefined) continue;
      const finding = { part: part.name, seed: options.seed, index: under, ...found };
      if (!findings.some((other) => alike(finding, other))) {
        findings.push(finding);
        options.onFinding(finding);
      }
      // Whatever it has left behind in its own process shall not be held against the next.
      if (part.watched === false) continue;
      await worker?.end();
      worker = undefined;
    }
  } finally {
    await worker?.end();
  }
  return { part, counts, points, findings };
}

/**
 * The same oracle, the same words but for numbers, and the same line of the project's code if there
 * is any.
 */
function alike(one: Found, other: Found): boolean {
  const signature = ({ what, message }: Found): string => {
    const [first, ...rest] = message.split('\n');
    const frame = rest.find((line) => /^\s+at .*\/build\/(?!faults)/.test(line)) ?? '';
    return [what, first, frame].join('\n').replace(/\d+/g, '#');
  };
  return signature(one) === signature(other);
}

/**
 * All points, or as many as are wanted, picked and ordered by the seed; without points, the first
 * ones.
 */
function chosen(part: Part, points: number | undefined, { most, seed }: RunOptions): number[] {
  const wanted = most(part);
  if (points === undefined) return Array.from({ length: wanted }, (_, index) => index);
  const all = Array.from({ length: points }, (_, index) => index);
  if (wanted >= points) return all;
  const random = new Random(seed);
  for (let at = 0; at < wanted; at++) {
    const other = at + random.below(points - at);
    [all[at], all[other]] = [all[other]!, all[at]!];
  }
  return all.slice(0, wanted);
}

const FILE = fileURLToPath(new URL('./worker.js', import.meta.url));

class Worker {
  readonly #child: ChildProcess;
  readonly #gone: Promise<string>;
  #home: string | undefined;
  #stderr = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4000);
    });
    this.#gone = new Promise((resolve) => {
      child.once('close', (status, signal) => resolve(`the process ended: ${signal ?? status}`));
    });
  }

  static async start(): Promise<Worker> {
    const stdio = ['ignore', 'inherit', 'pipe', 'ipc'] as const;
    const worker = new Worker(fork(FILE, [], { stdio: [...stdio], execArgv: ['--expose-gc'] }));
    await worker.#hear((word) => {
      if (word.kind === 'ready') worker.#home = word.home;
      return word.kind === 'ready';
    });
    return worker;
  }

  /** Lets it work, to the end of its order; what it died of, or undefined. */
  async obey(order: Order, hear: (word: Word) => void): Promise<Found | undefined> {
    this.#child.send(order);
    return this.#hear((word) => {
      hear(word);
      if (word.kind === 'end') return word.fault !== undefined;
      return word.kind === 'done' || word.kind === 'points';
    });
  }

  async #hear(last: (word: Word) => boolean): Promise<Found | undefined> {
    let watchdog: NodeJS.Timeout | undefined;
    let hung = false;
    const ended = new Promise<undefined>((resolve) => {
      const wake = (): void => {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => {
          hung = true;
          this.#child.kill('SIGKILL');
        }, WATCHDOG);
      };
      const take = (word: Word): void => {
        wake();
        if (!last(word)) return;
        this.#child.off('message', take);
        resolve(undefined);
      };
      wake();
      this.#child.on('message', take);
    });
    const died = await Promise.race([ended, this.#gone]);
    clearTimeout(watchdog);
    if (died === undefined) return undefined;
    await this.#removeHome();
    const message = hung ? `no word for ${WATCHDOG / 1000} s` : `${died}\n${this.#stderr}`;
    return { what: hung ? 'hang' : 'uncaught', message, notes: [] };
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
    await this.#removeHome();
  }

  async #removeHome(): Promise<void> {
    if (this.#home !== undefined) await rm(this.#home, { recursive: true, force: true });
  }
}
