import type { Random } from '../../support/random.ts';
import { Wire } from '../../support/peer.ts';
import { initialPacket } from '../../support/wire.ts';
import { type Migration, unexpected } from './grammar.ts';
import { inPieces, mutated, setField } from './mutate.ts';
import { demand, ending, type Ending } from './oracles.ts';

/** What is put on each connection of a migration, and in which order. */
export interface Script {
  /** By connection: the main channel first. */
  connections: Uint8Array[][];
  /** Nothing was changed: it has to go through. */
  sound: boolean;
  /** What was changed, in words. */
  changes: string[];
}

export function soundScript({ main, channels }: Migration): Script {
  const connections = [main, ...channels].map((messages) => [...messages]);
  return { connections, sound: true, changes: [] };
}

/** A script with 1 to 3 things wrong in it, now and then with none. */
export function hostileScript(random: Random, sent: Migration): Script {
  const script = soundScript(sent);
  if (random.chance(0.12)) return script;
  script.sound = false;
  for (let left = random.pick([1, 1, 1, 2, 3]); left > 0; left--) change(random, script);
  return script;
}

/** Fields of what begins with the multifd magic: where, and of how many bytes. */
const PACKET_FIELDS: ReadonlyArray<readonly [number, number]> = [
  [0, 4],
  [4, 4],
  [8, 4],
  [12, 4],
  [16, 4],
  [20, 4],
  [24, 8],
  [32, 4],
  [64, 1],
  [320, 8],
  [328, 8],
];
const DEVICE_FIELDS: typeof PACKET_FIELDS = [
  [8, 4],
  [12, 1],
  [268, 4],
  [272, 4],
];
const INITIAL_FIELDS: typeof PACKET_FIELDS = [
  [0, 4],
  [4, 4],
  [8, 8],
  [24, 1],
];

function change(random: Random, script: Script): void {
  const { connections, changes } = script;
  const on = random.below(connections.length);
  const messages = connections[on]!;
  const at = random.below(Math.max(1, messages.length));
  const message = messages[at] ?? new Uint8Array(0);
  const place = `${on === 0 ? 'main' : `channel ${on - 1}`}, message ${at}`;
  const say = (what: string): void => void changes.push(`${place}: ${what}`);
  switch (random.below(10)) {
    case 0:
    case 1: {
      const { length } = message;
      const others = length >= 1344 ? PACKET_FIELDS : DEVICE_FIELDS;
      const [offset, size] = random.pick(length === 64 ? INITIAL_FIELDS : others);
      const copy = Uint8Array.from(message);
      setField(random, copy, on === 0 ? random.below(copy.length + 1) : offset, size);
      messages[at] = copy;
      return say('a field at an extreme');
    }
    case 2:
    case 3:
      messages[at] = mutated(random, message);
      return say('changed bytes');
    case 4:
      messages.length = at;
      return say('the connection ends before it');
    case 5:
      messages.length = at;
      messages.push(message.subarray(0, random.below(message.length + 1)));
      return say('the connection ends within it');
    case 6: {
      messages.splice(at, 1, ...(random.chance(0.5) ? [] : [message, message]));
      return say('gone, or twice');
    }
    case 7: {
      const other = random.pick(connections);
      other.splice(random.below(other.length + 1), 0, message);
      if (random.chance(0.5)) messages.splice(at, 1);
      return say('somewhere else, too');
    }
    case 8:
      messages.splice(at, 0, unexpected(random));
      return say('something unexpected before it');
    default: {
      if (random.chance(0.5) && connections.length > 2) {
        connections.splice(on, 1);
        return say('the connection never comes');
      }
      const messages = [initialPacket(random.below(256)), message];
      connections.push(random.chance(0.5) ? messages : [random.bytes(80)]);
      return say('one connection too many');
    }
  }
}

interface Player {
  readonly wires: readonly Wire[];
  close(): Promise<void>;
}

/**
 * Plays a script to whoever listens, in a random order of its messages that keeps that of each
 * connection.
 * @param stay leaves connections open at their ends, so that whoever waits for more has to give up.
 */
async function play(random: Random, uri: string, script: Script, stay: boolean): Promise<Player> {
  const wires: Wire[] = [];
  const close = async (): Promise<void> => {
    for (const wire of wires) wire.destroy();
    await Promise.all(wires.map(({ closed }) => closed));
  };
  const queues = script.connections.map((messages) => [...messages]);
  try {
    for (const _ of queues) {
      const wire = await Wire.open(uri);
      wire.ignore();
      wires.push(wire);
    }
    const open = queues.map((_, on) => on);
    while (open.length > 0) {
      const on = random.pick(open);
      const wire = wires[on]!;
      const message = queues[on]!.shift();
      if (message === undefined) {
        open.splice(open.indexOf(on), 1);
        if (!stay) finish(random, wire, script.sound, uri.startsWith('tcp:'));
        continue;
      }
      for (const piece of inPieces(random, message)) wire.put(piece);
      if (random.chance(0.02)) await new Promise((resolve) => setImmediate(resolve));
    }
  } catch (error) {
    // Whoever listens may have ended by now: what it says of that is looked at.
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
  }
  return { wires, close };
}

/**
 * Milliseconds after a script's end in which a listener that knows of a migration has to end it.
 */
const PATIENCE = 3000;

/**
 * Plays a script to a listener, and waits for what that says of it.
 * @param completed of a listener that `idle` ends, and that tells `rejected` what it dropped.
 * @throws Fault if it waits on, although it knows of a migration.
 */
export async function playTo<T>(
  random: Random,
  { uri, completed }: { uri: string; completed: Promise<T> },
  script: Script,
  { stay, idle, rejected }: { stay: boolean; idle: AbortController; rejected: string[] },
): Promise<Ending<T>> {
  // It may end before all is sent.
  const end = ending(completed);
  end.catch(() => {});
  const player = await play(random, uri, script, stay);
  // A listener that only rejected connections waits for a migration.
  const timer = setTimeout(() => idle.abort(), PATIENCE);
  const result = await end.finally(() => {
    clearTimeout(timer);
    return player.close();
  });
  const some = rejected.length < script.connections.length;
  demand(
    !some || result.error?.code !== 'ERR_CANCELLED',
    'hang',
    'it knows of a migration, and waits',
  );
  return result;
}

/** @param tcp others can't be reset. */
function finish(random: Random, wire: Wire, orderly: boolean, tcp: boolean): void {
  if (orderly || random.chance(0.7)) wire.end();
  else if (tcp && random.chance(0.5)) wire.reset();
  else wire.destroy();
}
