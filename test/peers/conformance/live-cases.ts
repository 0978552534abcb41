import { Guest, reactorGuest, reactorTarget, type Tracking } from 'multifd/live';
import type { Io } from './capabilities.ts';
import type { Case } from './case.ts';
import { check, equal, sameBytes } from './check.ts';
import { bytesOf, fill, type Kind, newMemory } from './memory.ts';
import { Writer } from './writer.ts';
import { STREAMS } from './endpoints.ts';

export const LIVE_CASES: readonly Case[] = [
  {
    capability: 'live',
    name: 'memory that changes, found by comparing',
    run: (io) => changing(io, 'unshared', 'compare'),
  },
  {
    capability: 'live',
    name: 'memory that changes, found by hashes',
    run: (io) => changing(io, 'unshared', 'hash'),
  },
  {
    capability: 'live',
    needs: ['sharedMemory'],
    name: 'shared memory that changes',
    run: (io) => changing(io, 'shared', 'compare'),
  },
  { capability: 'live', name: 'memory that grows', run: growing },
  { capability: 'live', name: 'a program goes on here after a failure there', run: resumesHere },
  { capability: 'reactor', name: "memory, globals and the host's bytes", run: reactor },
];

async function changing(io: Io, kind: Kind, tracking: Tracking): Promise<void> {
  const source = newMemory(kind, 32);
  const target = newMemory(kind, 32);
  fill(source, 3);
  const writer = new Writer(source);
  const guest = new Guest({
    blocks: [{ id: 'ram', memory: source, tracking }],
    stop: writer.stop,
    resume: writer.start,
  });
  let started = false;
  const { incoming, to } = await STREAMS.open(
    { blocks: { ram: target }, start: () => void (started = true) },
    io,
  );
  writer.start();
  // What it has written behind the first round has to be found by a later one.
  const onRound = (): void => writer.write();
  const [statistics] = await Promise.all([
    guest.migrate({ ...to, downtimeLimit: 0, maxRounds: 4, onMaxRounds: 'stop', onRound }),
    incoming.completed,
  ]);
  check(started, 'the target starts the program');
  check(!writer.running, 'the source has stopped it');
  check(statistics.ram['dirty-sync-count'] > 1, 'there was more than one round');
  sameBytes(bytesOf(target), bytesOf(source), 'memory');
}

async function growing(io: Io): Promise<void> {
  const source = newMemory('unshared', 8, 12);
  const target = newMemory('unshared', 8, 12);
  fill(source, 4);
  const writer = new Writer(source);
  const guest = new Guest({
    blocks: [{ id: 'ram', memory: source }],
    stop: writer.stop,
    resume: writer.start,
  });
  const { incoming, to } = await STREAMS.open({ blocks: { ram: target } }, io);
  writer.start();
  let rounds = 0;
  const onRound = (): void => {
    if (++rounds !== 1) return;
    source.grow(3);
    bytesOf(source).fill(0x5a, 8 * 65536);
  };
  await Promise.all([
    guest.migrate({ ...to, downtimeLimit: 0, maxRounds: 4, onMaxRounds: 'stop', onRound }),
    incoming.completed,
  ]);
  equal(target.buffer.byteLength, 11 * 65536, 'length at the target');
  sameBytes(bytesOf(target), bytesOf(source), 'memory');
}

async function resumesHere(io: Io): Promise<void> {
  const source = newMemory('unshared', 8);
  const writer = new Writer(source);
  const guest = new Guest({
    blocks: [{ id: 'ram', memory: source }],
    stop: writer.stop,
    resume: writer.start,
  });
  const refusing = (): void => {
    throw new Error('it does not start here');
  };
  const { incoming, to } = await STREAMS.open(
    { blocks: { ram: newMemory('unshared', 8) }, start: refusing },
    io,
  );
  writer.start();
  const ends = await Promise.allSettled([
    guest.migrate({ ...to, downtimeLimit: 0, maxRounds: 2, onMaxRounds: 'stop' }),
    incoming.completed,
  ]);
  equal(
    ends.map(({ status }) => status),
    ['rejected', 'rejected'],
    'how the two ends ended',
  );
  check(writer.running, 'the program goes on');
  writer.stop();
}

/** The program of reactor.ts, and what it exports. */
function instantiate(io: Io): {
  instance: WebAssembly.Instance;
  step(): void;
  count: WebAssembly.Global;
  memory: WebAssembly.Memory;
} {
  const instance = new WebAssembly.Instance(io.reactor);
  const { step, count, memory } = instance.exports;
  return {
    instance,
    step: step as () => void,
    count: count as WebAssembly.Global,
    memory: memory as WebAssembly.Memory,
  };
}

async function reactor(io: Io): Promise<void> {
  const [here, there] = [instantiate(io), instantiate(io)];
  for (let n = 0; n < 20; n++) here.step();
  const guest = reactorGuest(here, {
    stop() {},
    resume() {},
    saveHost: () => Uint8Array.of(1, 2, 3),
  });
  let host: Uint8Array = new Uint8Array(0);
  let started = false;
  const target = reactorTarget(there, {
    start: () => void (started = true),
    loadHost: (bytes) => void (host = bytes.slice()),
  });
  const { incoming, to } = await STREAMS.open(target, io);
  await Promise.all([guest.migrate(to), incoming.completed]);
  check(started, 'the target starts it');
  equal([there.count.value, [...host]], [20, [1, 2, 3]], "its counter, and the host's bytes");
  sameBytes(bytesOf(there.memory), bytesOf(here.memory), 'its memory');
  there.step();
  equal(there.count.value, 21, 'its counter when it has gone on');
}
