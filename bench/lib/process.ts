import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** Of Linux: what /proc counts processor time in. */
const TICKS_PER_SECOND = 100;
const MIB_IN_KIB = 1024;
/** How often a process that ends by itself is looked at. */
const LOOK_MS = 5;

/** What a process has used. */
export interface Usage {
  /** Seconds of processor time. */
  cpu: number;
  peakMiB: number;
}

/** What a process has used until now; undefined when it is gone, and where there is no /proc. */
export function usageOf(pid: number): Usage | undefined {
  try {
    // The name in brackets may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)!.split(' ');
    const peak = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
    if (peak === null) return undefined; // it has ended, and waits to be asked for its status
    return {
      cpu: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
      peakMiB: Number(peak[1]) / MIB_IN_KIB,
    };
  } catch {
    return undefined;
  }
}

export interface Ended {
  stdout: string;
  /** From start to end. */
  seconds: number;
  /** As last seen before its end. */
  usage: Usage;
}

/**
 * Runs a program to its end.
 * @throws with what it wrote to standard error, unless its status is 0.
 */
export async function runProgram(
  file: string,
  args: readonly string[],
  {
    timeoutMs = 120_000,
    cwd,
    env,
  }: { timeoutMs?: number; cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  const begun = performance.now();
  const child = startProgram(file, args, { cwd, env });
  let [stdout, stderr] = ['', ''];
  let usage: Usage = { cpu: 0, peakMiB: 0 };
  const look = (): void => {
    usage = usageOf(child.pid!) ?? usage;
  };
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const looking = setInterval(look, LOOK_MS);
  const late = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  let seconds = 0;
  child.once('exit', () => {
    seconds = (performance.now() - begun) / 1000;
  });
  try {
    const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
    if (status !== 0)
      throw new Error(
        `${file} ended with ${signal ?? `status ${status}`}: ${stderr.trim().slice(-500)}`,
      );
    return { stdout, seconds, usage };
  } finally {
    clearInterval(looking);
    clearTimeout(late);
  }
}

/** Starts a program whose output can be read. */
export function startProgram(
  file: string,
  args: readonly string[],
  {
    cwd,
    env,
    stdio = ['ignore', 'pipe', 'pipe'],
  }: { cwd?: string | undefined; env?: NodeJS.ProcessEnv | undefined; stdio?: StdioOptions } = {},
): ChildProcess {
  return spawn(file, args, { cwd, stdio, env: { ...process.env, ...env } });
}

/** Ends a process and waits until it has gone. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
