import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import {
  type ClientHandle,
  Engine,
  inlineLauncher,
  type Launcher,
  Receivers,
  workerLauncher,
} from 'multifd/engine';
import { expect } from 'vitest';
import { Stage } from './fixtures/stage.mjs';
import { createStaged, createStagedReceiver } from './fixtures/staged-program.mjs';

export type Kind = 'workers' | 'inline';
export const KINDS: readonly Kind[] = ['workers', 'inline'];

const fixture = (name: string): URL => new URL(`fixtures/${name}`, import.meta.url);

const SENDING: Record<Kind, Launcher> = {
  workers: workerLauncher(fixture('staged-channel.mjs')),
  inline: inlineLauncher(createStaged),
};
const RECEIVING: Record<Kind, Launcher> = {
  workers: workerLauncher(fixture('staged-receiver.mjs')),
  inline: inlineLauncher(createStagedReceiver),
};

export interface Staged {
  stage: Stage;
  engine: Engine;
}

/** An engine whose channels do at each step what the test tells them to. */
export function staged(kind: Kind, channels: number, clients: number): Staged {
  const stage = new Stage(channels);
  const data = { channels, buffer: stage.buffer };
  const engine = new Engine({
    launcher: SENDING[kind],
    channels: new Array<unknown>(channels).fill(data),
    clients,
    payloadBytes: 64,
  });
  return { stage, engine };
}

/** Receivers likewise, each with a number of rounds; and the data to start them with. */
export function stagedReceivers(
  kind: Kind,
  rounds: readonly number[],
): { stage: Stage; receivers: Receivers; data: unknown[] } {
  const channels = rounds.length;
  const stage = new Stage(channels);
  const geometry = { channels, clients: 0, payloadBytes: 64, scratchBytes: 0, sharedBytes: 0 };
  const receivers = new Receivers({ geometry, launcher: RECEIVING[kind] });
  return {
    stage,
    receivers,
    data: rounds.map((count) => ({ channels, buffer: stage.buffer, rounds: count })),
  };
}

/** Sends payload `number` for a client of this thread. */
export async function sendNumber(
  engine: Engine,
  index: number,
  number: number,
  type = 1,
): Promise<boolean> {
  const client = engine.client(index);
  if (client.slot.type === 0) {
    client.slot.become(type);
    client.slot.fields[0] = number;
  }
  return client.sendAsync();
}

export interface ThreadResult {
  sent: number;
  slot: { type: number; number: number; byte: number; offset: number };
}

/** A client in a thread of its own, which blocks in send(). */
export interface ClientThread {
  worker: Worker;
  /** How it ended; the thread has gone then. */
  result: Promise<ThreadResult>;
}

export function clientThread(
  handle: ClientHandle,
  { type = 2, first = 0, count = 1 }: { type?: number; first?: number; count?: number } = {},
): ClientThread {
  const worker = new Worker(fixture('client.mjs'), { workerData: { handle, type, first, count } });
  const result = Promise.all([once(worker, 'message'), once(worker, 'exit')]).then(
    ([[message]]) => message as ThreadResult,
  );
  result.catch(() => {}); // whoever waits for it is told
  return { worker, result };
}

/**
 * Keeps account of every thread that is started until `stop`, which is called at the end of the
 * test that `onEnd` belongs to.
 */
export function watchThreads(onEnd: (stop: () => void) => void = () => {}): {
  left(): Promise<number[]>;
  stop(): void;
} {
  const threads: Worker[] = [];
  const add = (worker: Worker): void => void threads.push(worker);
  const stop = (): void => void process.off('worker', add);
  process.on('worker', add);
  onEnd(stop);
  return {
    stop,
    /** The ids of those that are still there. */
    async left() {
      await turn(); // a thread's start is told one turn late
      return threads.map(({ threadId }) => threadId).filter((id) => id !== -1);
    },
  };
}

/**
 * Every slot has exactly one owner, no channel's slot holds anything, and of the clients' only
 * those that `holding` names.
 */
export function expectAccounts(engine: Engine, holding: readonly number[] = []): void {
  const owners = engine.owners();
  expect(new Set(owners.map(({ offset }) => offset)).size, 'slots with one owner').toBe(
    owners.length,
  );
  const full = owners
    .filter(({ type }) => type !== 0)
    .map(({ owner, index }) => `${owner} ${index}`);
  expect(full).toEqual(holding.map((index) => `client ${index}`));
}

/**
 * Waits until a thread sleeps, or is about to, for the engine's send lock: bit 1 of word 3 of the
 * arena. Nothing that is public tells it, and without it a test of waking sleepers might find none.
 */
export async function sleeperOnLock(engine: Engine): Promise<void> {
  while ((Atomics.load(engine.group.arena.words, 3) & 2) === 0) await turn();
}

/**
 * Until a thread holds the send lock: bit 0, or taken by a woken sleeper bit 1, of the same word.
 */
export async function lockHeld(engine: Engine): Promise<void> {
  while ((Atomics.load(engine.group.arena.words, 3) & 3) === 0) await turn();
}

/** The error of a promise that has to reject. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it did not reject'),
    (error: unknown) => error,
  );
}

/** All orders of a few things. */
export function permutations<T>(things: readonly T[]): T[][] {
  if (things.length === 0) return [[]];
  return things.flatMap((thing, at) =>
    permutations([...things.slice(0, at), ...things.slice(at + 1)]).map((rest) => [thing, ...rest]),
  );
}

/** A turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
