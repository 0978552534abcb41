import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const COMMAND = fileURLToPath(new URL('../../build/multifd.js', import.meta.url));

export interface Ended {
  /** null after a signal. */
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** One line of `--json`. */
export interface JsonEvent {
  event: string;
  [key: string]: unknown;
}

/** A `multifd` process. */
export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';
  readonly #waiting = new Set<() => void>();

  /** @param piped whether it gets a pipe as its standard input, and its output is bytes. */
  constructor(
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    piped = false,
  ) {
    const env = { ...process.env, ...environment };
    this.child = spawn(process.execPath, [COMMAND, ...args], {
      stdio: [piped ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      env,
    });
    this.child.stdin?.on('error', () => {});
    this.child.stdout!.setEncoding(piped ? 'latin1' : 'utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#look();
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#look();
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (status, signal) =>
        resolve({ status, signal, stdout: this.#stdout, stderr: this.#stderr }),
      );
    });
  }

  /**
   * The first line of `--json` that is the event and, if given, fulfils a condition; it may have
   * come already.
   */
  event(name: string, condition: (event: JsonEvent) => boolean = () => true): Promise<JsonEvent> {
    return this.#until(`the event ${name}`, () =>
      parseLines(this.#stdout).find((line) => line.event === name && condition(line)),
    );
  }

  /** What a part of the expression in brackets matched on stderr. */
  async said(expression: RegExp): Promise<string> {
    const found = await this.#until(
      `${expression} on stderr`,
      () => expression.exec(this.#stderr) ?? undefined,
    );
    return found[1] ?? found[0];
  }

  #look(): void {
    for (const look of this.#waiting) look();
  }

  #until<Found>(what: string, find: () => Found | undefined): Promise<Found> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = find();
        if (found === undefined) return;
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
      void this.ended.then(
        () =>
          reject(new Error(`the command ended without ${what}:\n${this.#stdout}\n${this.#stderr}`)),
        reject,
      );
      look();
    });
  }
}

/** Starts `multifd`; whatever the test comes to, the process does not outlive it. */
export function start(...args: readonly string[]): Running {
  return startIn({}, ...args);
}

/** Starts `multifd` with more in its environment than there is here. */
export function startIn(
  environment: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Running {
  return started(new Running(args, environment));
}

/** Starts `multifd` with a pipe as its standard input; a byte of its output is a character. */
export function startPiped(
  environment: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Running {
  return started(new Running(args, environment, true));
}

/** Runs `multifd` to its end with something on its standard input, as {@link startPiped} does. */
export function runPiped(
  input: Uint8Array,
  environment: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<Ended> {
  const { child, ended } = startPiped(environment, ...args);
  child.stdin!.end(input);
  return ended;
}

function started(running: Running): Running {
  onTestFinished(() => {
    running.child.kill('SIGKILL');
  });
  return running;
}

/** Runs `multifd` to its end. */
export function run(...args: readonly string[]): Promise<Ended> {
  return start(...args).ended;
}

/** The objects on the whole lines of a `--json` output. */
export function parseLines(stdout: string): JsonEvent[] {
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as JsonEvent);
}

/** The last line of a `--json` output. */
export function resultOf({ stdout }: Ended): JsonEvent {
  return parseLines(stdout).at(-1)!;
}

/** The codes of the errors that a command printed. */
export function errorsOf({ stderr }: Ended): string[] {
  return [...stderr.matchAll(/^multifd: (ERR_[A-Z_]+): /gm)].map(([, code]) => code!);
}

/** A folder for one test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'multifd-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a receiver, and waits until it says where it listens. */
export async function startReceiver(
  uri: string,
  image: string,
  ...options: readonly string[]
): Promise<{ receiver: Running; uri: string }> {
  const receiver = start('receive', uri, image, '--json', ...options);
  const listening = await receiver.event('listening');
  return { receiver, uri: listening['uri'] as string };
}
