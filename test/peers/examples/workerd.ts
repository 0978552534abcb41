import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { runtime } from './runtime.ts';

const CONFIG = fileURLToPath(new URL('../../../examples/worker/config.capnp', import.meta.url));

/**
 * Garbage is collected before there is much of it: workerd by itself limits no isolate, as
 * Cloudflare does.
 */
const V8_FLAGS = 'v8Flags = ["--max-semi-space-size=1", "--max-old-space-size=32"],';

/** The config with a heap of 32 MiB, beside the modules that it embeds. */
export function smallConfig(): string {
  const path = fileURLToPath(
    new URL('../../../build/examples/worker/small.capnp', import.meta.url),
  );
  writeFileSync(
    path,
    readFileSync(CONFIG, 'utf8')
      .replaceAll('../../build/examples/worker/', '')
      .replace('Workerd.Config = (', `$&\n  ${V8_FLAGS}`),
  );
  return path;
}

export interface Worker {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** What it said on stderr so far. */
  readonly stderr: () => string;
  /** The most memory that the process had, in bytes. */
  peak(): number;
  stop(): Promise<void>;
}

/**
 * Starts examples/worker as its README says, but with any free port. It ends with the test.
 * @param folder where its storage is.
 */
export async function startWorker(
  folder: string,
  environment: Record<string, string>,
  config = CONFIG,
): Promise<Worker> {
  const child = spawn(
    runtime('workerd'),
    [
      'serve',
      config,
      ...(config === CONFIG ? [] : ['--experimental']),
      '--socket-addr',
      'http=127.0.0.1:0',
      '--directory-path',
      `storage=${folder}`,
      '--control-fd=3',
    ],
    {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'inherit', 'pipe', 'pipe'],
    },
  );
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  onTestFinished(stop);
  const port = await listening(child, () => stderr);
  return { host: `127.0.0.1:${port}`, stderr: () => stderr, peak: () => peakOf(child.pid!), stop };
}

/** workerd says where it listens as JSON Lines. */
async function listening(child: ChildProcess, stderr: () => string): Promise<number> {
  let said = '';
  for await (const text of (child.stdio[3] as Readable).setEncoding('utf8')) {
    said += text;
    if (said.includes('\n'))
      return (JSON.parse(said.slice(0, said.indexOf('\n'))) as { port: number }).port;
  }
  throw new Error(`workerd did not start: ${stderr()}`);
}

function peakOf(pid: number): number {
  return 1024 * Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
}
