import { readFileSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { type ErrorCode, MultifdError } from 'multifd';
import { held, heldInTheEnd, isWithin } from '../../support/held.ts';

/** What an oracle can find. */
export type FaultKind =
  | 'raw error' //    an error that is no MultifdError, or one that says the project itself is wrong
  | 'uncaught' //     an unhandled rejection, or an error that nobody caught
  | 'hang' //         no end within the limit
  | 'memory' //       more than the bound
  | 'leak' //         sockets, descriptors, threads or hidden files left behind
  | 'torn' //         an output that is neither absent nor complete
  | 'wrong bytes' //  "completed", and what came is not what was sent
  | 'outcome'; //     another end than the one there has to be

/** A fault of the project's, found by an oracle. */
export class Fault extends Error {
  readonly kind: FaultKind;

  constructor(kind: FaultKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/**
 * Milliseconds. Far above what anything here takes on a busy machine, and each time-out of the
 * project's.
 */
export const LIMIT = 20_000;

/** Codes that say that the project itself is wrong, whatever it was given. */
const OWN: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['ERR_INTERNAL', 'ERR_ENGINE']);

export interface Ending<T> {
  value: T | undefined;
  error: MultifdError | undefined;
}

/**
 * Waits for the end of `work`, whichever it is.
 * @throws Fault for an end that no work may have: none at all, or an error that is not the
 * project's.
 */
export async function ending<T>(
  work: Promise<T> | (() => Promise<T>),
  limit = LIMIT,
): Promise<Ending<T>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const hang = (): void => reject(new Fault('hang', `no end within ${limit / 1000} s`));
    timer = setTimeout(hang, limit);
  });
  // A call may throw before it gives a promise: that is an end as well.
  const running = (async () => (typeof work === 'function' ? work() : work))();
  try {
    return { value: await Promise.race([running, late]), error: undefined };
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    return { value: undefined, error: asOwn(thrown) };
  } finally {
    clearTimeout(timer);
  }
}

/** @throws Fault for anything but a MultifdError that blames what came from outside. */
export function asOwn(thrown: unknown): MultifdError {
  if (!(thrown instanceof MultifdError)) {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    throw new Fault('raw error', text);
  }
  if (!OWN.has(thrown.code)) return thrown;
  const cause = thrown.cause instanceof Error ? thrown.cause.stack : '';
  throw new Fault('raw error', `${thrown.code}: ${thrown.message}\n${cause}`);
}

/** Demands something of what came out. */
export function demand(holds: boolean, kind: FaultKind, message: string): asserts holds {
  if (!holds) throw new Fault(kind, message);
}

export function sameBytes(found: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(found, expected) === 0) return;
  const length = Math.min(found.length, expected.length);
  let at = 0;
  while (at < length && found[at] === expected[at]) at++;
  const sizes = `${found.length} bytes, ${expected.length} expected`;
  throw new Fault('wrong bytes', `${what} differs from byte ${at} on (${sizes})`);
}

/** Demands that a folder has these names and no others, hidden ones included. */
export async function holdsOnly(folder: string, ...names: readonly string[]): Promise<void> {
  const found = (await readdir(folder)).sort();
  const wanted = [...names].sort();
  if (found.join('\n') === wanted.join('\n')) return;
  const listed = (list: readonly string[]): string => list.join(', ') || 'nothing';
  throw new Fault('leak', `the folder has ${listed(found)}, not ${listed(wanted)}`);
}

const MIB = 2 ** 20;

/**
 * Bytes that one execution may take beyond four times its input: buffers, a core, the garbage of a
 * small migration.
 */
const MEMORY_BOUND = 192 * MIB;

const LINUX = process.platform === 'linux';

/**
 * Runs `work`, and looks after it for what it left behind and for what it took at its peak.
 * @param input gives how many bytes the work was given, once it is over.
 */
export async function watched(work: () => Promise<void>, input: () => number): Promise<void> {
  const before = held();
  const start = LINUX ? memoryOf('VmRSS') : 0;
  if (LINUX) writeFileSync('/proc/self/clear_refs', '5'); // the peak begins anew
  await work();
  const peak = LINUX ? memoryOf('VmHWM') - start : 0;
  const after = await heldInTheEnd(before);
  demand(isWithin(after, before), 'leak', `held before: ${before}; and after: ${after}`);
  const most = MEMORY_BOUND + 4 * input();
  const told = `${Math.round(peak / MIB)} MiB for ${input()} bytes of input`;
  demand(peak <= most, 'memory', told);
}

function memoryOf(field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  const [, kib] = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status) ?? [];
  return Number(kib) * 1024;
}
