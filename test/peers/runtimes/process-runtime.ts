import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Installed } from './installed.ts';
import type { Runtime } from './locate.ts';

export type ProcessRuntime = Extract<Runtime, 'node20' | 'node24' | 'node26' | 'deno' | 'bun'>;

/**
 * Deno asks for permissions, and has a cache of packages of its own, which is not what is tested
 * here.
 */
const DENO_ARGS = ['run', '--allow-all', '--node-modules-dir=manual', '--no-prompt', '--quiet'];

/** A module of the installed folder in a process of a runtime. */
export class RuntimeProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  constructor(
    runtime: ProcessRuntime,
    path: string,
    { folder }: Installed,
    args: readonly string[],
  ) {
    this.#child = spawn(path, [...(runtime === 'deno' ? DENO_ARGS : []), ...args], {
      cwd: folder,
      env: { ...process.env, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /**
   * The next line of its output, as JSON.
   * @throws what it said on standard error, if there is none.
   */
  async next<T>(): Promise<T> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error(`the process has ended: ${this.#errors}`);
    return JSON.parse(value) as T;
  }

  /** All lines until its end, as JSON; then, if it did not end well, why. */
  async all<T>(): Promise<{ values: T[]; problem: string | undefined }> {
    const values: T[] = [];
    const status = new Promise<number | null>((resolve) => void this.#child.once('close', resolve));
    for (let line = await this.#lines.next(); !line.done; line = await this.#lines.next())
      values.push(JSON.parse(line.value) as T);
    const code = await status;
    return {
      values,
      problem: code === 0 ? undefined : `it ended with status ${code}: ${this.#errors}`,
    };
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
