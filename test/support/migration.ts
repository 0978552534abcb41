import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MultifdError, receive, type IncomingOptions, type MigrationStatistics } from 'multifd';
import { expect } from 'vitest';
import { held, heldInTheEnd, isWithin } from './held.ts';
import { Source } from './peer.ts';

export const PAGE = 4096;

/** Both ways to run channels. */
export const LAUNCHERS = [
  { name: 'inline channels', inline: true },
  { name: 'workers', inline: false },
] as const;

/** A page of one byte's repetition. */
export function pageOf(fill: number, length = PAGE): Uint8Array {
  return new Uint8Array(length).fill(fill);
}

/**
 * Runs `work`, and demands that it leaves nothing open: no socket, no server, no worker, no
 * descriptor. What is on its way out gets some turns of the event loop.
 */
export async function leavingNothing<T>(work: () => Promise<T>): Promise<T> {
  const before = held();
  const result = await work();
  const after = await heldInTheEnd(before);
  expect(isWithin(after, before), `${before}; and after: ${after}`).toBe(true);
  return result;
}

/** Runs `work` with a new empty folder, which is removed afterwards. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'multifd-migration-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The MultifdError that a promise rejects with. */
export async function errorOf(promise: Promise<unknown>): Promise<MultifdError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(MultifdError);
  return thrown as MultifdError;
}

export type Incoming = Partial<Omit<IncomingOptions, 'blocks' | 'image' | 'onRejected'>> &
  Pick<IncomingOptions, 'blocks'>;

export interface Outcome {
  error: MultifdError | undefined;
  statistics: MigrationStatistics | undefined;
  /** What was told of rejected connections. */
  rejected: string[];
}

/**
 * A script that plays the source: it gets where to connect to, and what it returns is closed when
 * the migration has ended.
 */
export type SourceScript = (uri: string) => Promise<{ close(): Promise<void> }>;

/**
 * Receives what `script` sends, into an image unless blocks are given. Unless it completes, the
 * image's folder has to be empty afterwards. Put {@link leavingNothing} around one or many of
 * these.
 */
export function receiving(options: Incoming, script: SourceScript): Promise<Outcome> {
  return withFolder(async (folder) => {
    const sink = join(folder, 'sink');
    await mkdir(sink);
    const rejected: string[] = [];
    const image = options.blocks === undefined ? { image: join(sink, 'out.img') } : {};
    const uri = `unix:${join(folder, 'socket')}`;
    const incoming = await receive({
      uri,
      timeout: 20_000,
      inline: true,
      ...image,
      ...options,
      onRejected: (why) => rejected.push(why),
    });
    const peer = await script(incoming.uri);
    const statistics = await incoming.completed.catch(() => undefined);
    const error = statistics === undefined ? await errorOf(incoming.completed) : undefined;
    await peer.close();
    expect(await readdir(sink)).toEqual(
      error === undefined && options.blocks === undefined ? ['out.img'] : [],
    );
    return { error, statistics, rejected };
  });
}

/**
 * The error that {@link receiving} has to end with, from a source whose channels (2) are all
 * connected.
 */
export async function refusal(
  options: Incoming,
  script: (source: Source) => void | Promise<void>,
): Promise<MultifdError> {
  const { error } = await receiving(options, async (uri) => {
    const source = await Source.connect(uri, options.channels ?? 2);
    await script(source);
    return source;
  });
  expect(error).toBeDefined();
  return error!;
}

/** Runs all jobs, some at a time. */
export async function inParallel(jobs: readonly (() => Promise<void>)[], width = 8): Promise<void> {
  const queue = [...jobs];
  const run = async (): Promise<void> => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) await job();
  };
  await Promise.all(Array.from({ length: width }, run));
}
