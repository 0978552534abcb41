/**
 * Makes one file operation of a process fail: loaded before everything else, by `node --import`,
 * also in its worker threads.
 *
 *     MULTIFD_FAULT_ROOT   only operations on what is below this folder count
 *     MULTIFD_FAULT_LOG    a file that gets a line for each of them: THREAD NUMBER NAME CAN-BE-HALF
 *     MULTIFD_FAULT_POINT  THREAD:NUMBER:KIND, which of them fails, and how
 */
import fs, { type PathLike } from 'node:fs';
import promises, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { threadId } from 'node:worker_threads';
import type { FaultKindOfFile, Point } from './points.ts';

const root = process.env['MULTIFD_FAULT_ROOT']!;
const log = process.env['MULTIFD_FAULT_LOG'];
const point = parsePoint(process.env['MULTIFD_FAULT_POINT']);

const { appendFileSync, readlinkSync, writeSync, writevSync, closeSync } = fs;
let count = 0;

function parsePoint(text: string | undefined): Point | undefined {
  if (text === undefined) return undefined;
  const [thread, number, kind] = text.split(':') as [string, string, FaultKindOfFile];
  return { thread: Number(thread), number: Number(number), kind };
}

type Target = PathLike | number | FileHandle | undefined;

/**
 * Whether it is a file or folder below the root: by its path, or by what its descriptor is open
 * for.
 */
function isOurs(target: Target): boolean {
  if (typeof target === 'string') return target.startsWith(root);
  const fd = typeof target === 'number' ? target : (target as FileHandle | undefined)?.fd;
  if (typeof fd !== 'number') return false;
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith(root);
  } catch {
    return false;
  }
}

type Call = (this: unknown, ...args: unknown[]) => unknown;

/** Whether an operation moves bytes that it can move half of. */
function halved(name: string, args: unknown[], at: number): unknown[] | undefined {
  const bytes = args[at];
  const copy = [...args];
  if (/^(read|write)v/.test(name) && Array.isArray(bytes)) {
    const [first] = bytes as Uint8Array[];
    if (first === undefined || first.length < 2) return undefined;
    copy[at] = [first.subarray(0, first.length >> 1)];
    return copy;
  }
  const length = args[at + 2];
  if (!/^(read|write)/.test(name) || !ArrayBuffer.isView(bytes)) return undefined;
  if (typeof length !== 'number' || length < 2) return undefined;
  copy[at + 2] = length >> 1;
  return copy;
}

function failure(kind: string, name: string): Error {
  const code = kind === 'half' ? 'ENOSPC' : kind;
  const message = `${code}: made to fail, ${name}`;
  return Object.assign(new Error(message), { code, syscall: name, errno: -5 });
}

/** What is to become of the call that is about to happen. */
function next(
  name: string,
  target: Target,
  args: unknown[],
  at: number,
): FaultKindOfFile | undefined {
  if (!isOurs(target)) return undefined;
  const number = ++count;
  const half = halved(name, args, at) !== undefined;
  if (log !== undefined) appendFileSync(log, `${threadId} ${number} ${name} ${half}\n`);
  return point?.thread === threadId && point.number === number ? point.kind : undefined;
}

/** The first half of a write, at once. */
function writeHalf(name: string, fd: number, args: unknown[], at: number): void {
  const half = halved(name, args, at);
  if (half === undefined || !name.startsWith('write')) return;
  const values = half.slice(at) as never[];
  if (name.startsWith('writev')) (writevSync as Call)(fd, ...values.slice(0, 2));
  else (writeSync as Call)(fd, ...values.slice(0, 4));
}

const fdOf = (target: Target): number =>
  typeof target === 'number' ? target : ((target as FileHandle | undefined)?.fd ?? -1);

/** Does what has to be done before the failure; the arguments, if the call goes on with others. */
function prepare(
  kind: FaultKindOfFile,
  name: string,
  target: Target,
  args: unknown[],
  at: number,
): unknown[] | undefined {
  // Not each run has the same operation under that number: one without halves is let be.
  if (kind === 'short') return halved(name, args, at) ?? args;
  if (kind === 'half' || kind === 'kill') writeHalf(name, fdOf(target), args, at);
  if (kind === 'kill') process.kill(process.pid, 'SIGKILL');
  return undefined;
}

function replace(host: object, name: string, wrapped: Call): void {
  const original = (host as Record<string, Call>)[name]!;
  // `promisify` looks for properties of the function.
  Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(original));
  (host as Record<string, Call>)[name] = wrapped;
}

const NAMES = [
  'open',
  'close',
  'read',
  'readv',
  'write',
  'writev',
  'stat',
  'lstat',
  'fstat',
  'fsync',
  'fdatasync',
  'ftruncate',
  'truncate',
  'rename',
  'link',
  'unlink',
  'rm',
  'mkdir',
  'rmdir',
  'readdir',
  'readFile',
  'writeFile',
  'chmod',
  'fchmod',
  'utimes',
  'copyFile',
];

const byPath = (args: unknown[]): Target => args[0] as Target;

for (const name of NAMES) {
  const sync = `${name}Sync`;
  const hosts = fs as unknown as Record<string, Call>;
  const originalSync = hosts[sync];
  if (originalSync !== undefined) {
    replace(fs, sync, function (this: unknown, ...args) {
      const target = args[0] as Target;
      const kind = next(name, target, args, 1);
      if (kind === undefined) return originalSync.apply(this, args);
      const others = prepare(kind, name, target, args, 1);
      if (others !== undefined) return originalSync.apply(this, others);
      // What fails to be closed is closed all the same.
      if (name === 'close') closeSync(target as number);
      throw failure(kind, name);
    });
  }
  const originalCallback = hosts[name];
  if (originalCallback !== undefined) {
    replace(fs, name, function (this: unknown, ...args) {
      const target = args[0] as Target;
      const kind = next(name, target, args, 1);
      if (kind === undefined) return originalCallback.apply(this, args);
      const others = prepare(kind, name, target, args, 1);
      if (others !== undefined) return originalCallback.apply(this, others);
      const done = args.at(-1) as (error: Error) => void;
      if (name === 'close') closeSync(target as number);
      setImmediate(done, failure(kind, name));
      return undefined;
    });
  }
  const originalPromise = (promises as unknown as Record<string, Call>)[name];
  if (originalPromise !== undefined) wrapPromise(promises, name, originalPromise, byPath, 1);
}

function wrapPromise(
  host: object,
  name: string,
  original: Call,
  targetOf: (args: unknown[], self: unknown) => Target,
  at: number,
): void {
  replace(host, name, async function (this: unknown, ...args) {
    const target = targetOf(args, this);
    const kind = next(name, target, args, at);
    if (kind === undefined) return original.apply(this, args);
    const others = prepare(kind, name, target, args, at);
    if (others !== undefined) return original.apply(this, others);
    if (name === 'close') await original.apply(this, args);
    throw failure(kind, name);
  });
}

const METHODS = [
  'read',
  'readv',
  'write',
  'writev',
  'stat',
  'sync',
  'datasync',
  'truncate',
  'readFile',
  'writeFile',
  'appendFile',
  'chmod',
  'utimes',
];
const handle = await promises.open('/dev/null');
const prototype = Object.getPrototypeOf(handle) as Record<string, Call>;
await handle.close();
const itself = (_: unknown, self: unknown): Target => self as FileHandle;
for (const name of METHODS) wrapPromise(prototype, name, prototype[name]!, itself, 0);

// Each handle has a `close` of its own.
const open = promises.open as Call;
replace(promises, 'open', async function (this: unknown, ...args) {
  const opened = (await open.apply(this, args)) as Record<string, Call>;
  if (isOurs(args[0] as Target)) wrapPromise(opened, 'close', opened['close']!, itself, 0);
  return opened;
});
syncBuiltinESMExports();
