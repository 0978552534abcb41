import {
  Engine,
  inlineLauncher,
  type Launcher,
  MultifdError,
  workerLauncher,
} from 'multifd/engine';
import type { Io } from './capabilities.ts';
import type { Case } from './case.ts';
import { BAD, createProgram, NUMBER, PAYLOAD_BYTES, type Told } from './channel-program.ts';
import { check, equal, fails } from './check.ts';

const CHANNELS = 2;

const channels: readonly { capability: 'engine' | 'workers'; launcher(io: Io): Launcher }[] = [
  { capability: 'engine', launcher: () => inlineLauncher(createProgram) },
  { capability: 'workers', launcher: (io) => workerLauncher(io.channelModule!) },
];

export const ENGINE_CASES: readonly Case[] = channels.flatMap(({ capability, launcher }) => [
  { capability, name: 'payloads of a type of its own', run: (io) => payloads(launcher(io)) },
  {
    capability,
    name: 'a sync is behind all that was sent before it',
    run: (io) => sync(launcher(io)),
  },
  { capability, name: 'a channel that fails ends all', run: (io) => failure(launcher(io)) },
  { capability, name: 'it can be given up', run: (io) => abort(launcher(io)) },
  { capability, name: 'many clients', run: (io) => manyClients(launcher(io)) },
]);

function start(
  launcher: Launcher,
  clients = 1,
): { engine: Engine; told: { channel: number; value: Told }[] } {
  const told: { channel: number; value: Told }[] = [];
  const onValue = (channel: number, value: unknown): void =>
    void told.push({ channel, value: value as Told });
  return {
    engine: new Engine({
      launcher,
      channels: new Array(CHANNELS).fill(null),
      clients,
      payloadBytes: PAYLOAD_BYTES,
      onValue,
    }),
    told,
  };
}

async function sendNumber(engine: Engine, client: number, number: number): Promise<boolean> {
  const { slot } = engine.client(client);
  if (slot.type === 0) slot.become(NUMBER);
  slot.fields[0] = number;
  slot.payload.fill(number & 255, 0, PAYLOAD_BYTES);
  return engine.client(client).sendAsync();
}

const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
const numbersIn = (told: readonly { value: Told }[]): number[] =>
  sorted(told.flatMap(({ value }) => (value === 'sync' ? [] : [value.number])));
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

async function payloads(launcher: Launcher): Promise<void> {
  const { engine, told } = start(launcher);
  await engine.start();
  for (const number of range(20)) check(await sendNumber(engine, 0, number), 'a send is taken');
  await engine.finish();
  equal(numbersIn(told), range(20), 'what left, each once');
  check(
    told.every(({ value }) => value !== 'sync' && value.sum === value.number * PAYLOAD_BYTES),
    'payloads are whole',
  );
}

async function sync(launcher: Launcher): Promise<void> {
  const { engine, told } = start(launcher);
  await engine.start();
  for (const number of range(10)) await sendNumber(engine, 0, number);
  await engine.sync();
  for (const number of range(10)) await sendNumber(engine, 0, 100 + number);
  await engine.finish();
  for (const channel of range(CHANNELS)) {
    const own = told
      .filter((entry) => entry.channel === channel)
      .map(({ value }) => (value === 'sync' ? 'sync' : value.number < 100 ? 'before' : 'after'));
    equal(own.filter((entry) => entry === 'sync').length, 1, 'syncs of a channel');
    equal(
      own,
      [...own].sort(
        (a, b) => ['before', 'sync', 'after'].indexOf(a) - ['before', 'sync', 'after'].indexOf(b),
      ),
      'the order on a channel',
    );
  }
  equal(numbersIn(told), [...range(10), ...range(10).map((number) => 100 + number)], 'what left');
}

async function failure(launcher: Launcher): Promise<void> {
  const { engine } = start(launcher);
  await engine.start();
  await sendNumber(engine, 0, BAD);
  await engine.group.failure;
  await fails(engine.sync(), 'ERR_ENGINE', 'a sync of an engine that has failed');
  check(!(await sendNumber(engine, 0, 1)), 'a send is refused');
  await fails(engine.finish(), 'ERR_ENGINE', 'its end');
  equal(
    engine.owners().filter(({ owner, type }) => owner === 'client' && type === NUMBER).length,
    1,
    'clients that still have what was refused',
  );
}

async function abort(launcher: Launcher): Promise<void> {
  const { engine } = start(launcher);
  await engine.start();
  await sendNumber(engine, 0, 1);
  await engine.abort(new MultifdError('ERR_CANCELLED', 'enough'));
  check(!(await sendNumber(engine, 0, 2)), 'a send is refused');
  await fails(engine.sync(), 'ERR_CANCELLED', 'a sync');
}

async function manyClients(launcher: Launcher): Promise<void> {
  const clients = 8;
  const { engine, told } = start(launcher, clients);
  await engine.start();
  await Promise.all(
    range(clients).map(async (client) => {
      for (const number of range(10))
        check(await sendNumber(engine, client, 10 * client + number), 'a send is taken');
    }),
  );
  await engine.finish();
  equal(numbersIn(told), range(10 * clients), 'what left, each once');
  const slots = engine.owners();
  equal(
    new Set(slots.map(({ offset }) => offset)).size,
    CHANNELS + clients,
    'slots with one owner',
  );
  check(
    slots.every(({ type }) => type === 0),
    'no slot has anything left in it',
  );
}
