import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  inspectImage,
  receive,
  type BlockTargets,
  type IncomingBlock,
  type IncomingOptions,
} from 'multifd';
import type { Random } from '../../../support/random.ts';
import { imageContents } from '../contents.ts';
import { type Migration, migration, PAGE } from '../grammar.ts';
import { demand, ending, holdsOnly, sameBytes } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';
import { hostileScript, playTo, type Script } from '../scripts.ts';

/** Milliseconds without progress. Connections that stay open wait for it. */
const TIMEOUT = 120;
/** Bytes around a target's memory that nobody may touch. */
const GUARD = 4096;

interface Sink {
  options: Pick<IncomingOptions, 'blocks' | 'image'>;
  /** What is there, once the migration has completed. */
  content(id: string): Promise<Uint8Array>;
  /** Throws a Fault for what may never be. */
  check(completed: boolean): Promise<void>;
}

function memorySink(random: Random, sent: Migration): Sink {
  const memories = new Map<string, { whole: Uint8Array; inside: Uint8Array }>();
  const blocks: Record<string, Uint8Array> = Object.create(null) as Record<string, Uint8Array>;
  const shared = random.chance(0.5);
  for (const [id, { length }] of sent.memory) {
    const size = length + 2 * GUARD;
    const whole = new Uint8Array(shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size));
    whole.fill(0xa5);
    const inside = whole.subarray(GUARD, GUARD + length);
    // Pages that are not sent have what the target had.
    inside.fill(0);
    memories.set(id, { whole, inside });
    blocks[id] = inside;
  }
  // A block that nobody has a memory for gets one of its length.
  const asked = ({ id, usedLength }: IncomingBlock): Uint8Array =>
    memories.get(id)?.inside ?? new Uint8Array(Math.min(usedLength, 2 ** 20));
  const targets: BlockTargets = random.chance(0.5) ? blocks : asked;
  return {
    options: { blocks: targets },
    content: async (id) => memories.get(id)!.inside,
    async check() {
      for (const [id, { whole }] of memories) {
        const intact = (from: number, to: number): boolean =>
          whole.subarray(from, to).every((byte) => byte === 0xa5);
        const fine = intact(0, GUARD) && intact(whole.length - GUARD, whole.length);
        demand(fine, 'wrong bytes', `bytes outside of ${id} were written`);
      }
    },
  };
}

function imageSink(folder: string): Sink {
  const out = join(folder, 'out');
  const path = join(out, 'image');
  return {
    options: { image: path },
    async content(id) {
      const bytes = (await imageContents(path)).get(id);
      demand(bytes !== undefined, 'wrong bytes', `the image has no block ${id}`);
      return bytes;
    },
    async check(completed) {
      await holdsOnly(out, ...(completed ? ['image'] : []));
      if (!completed) return;
      const { error } = await ending(inspectImage(path));
      demand(error === undefined, 'torn', `completed, and can not be read: ${error?.message}`);
    },
  };
}

/** What went through has to be what was sent. */
async function checkSound(sink: Sink, sent: Migration): Promise<void> {
  for (const [id, expected] of sent.memory) sameBytes(await sink.content(id), expected, id);
}

function describe(sent: Migration, script: Script): string {
  const { compression, channels, memory } = sent;
  const blocks = [...memory].map(([id, { length }]) => `${id.slice(0, 20)} of ${length / PAGE}`);
  const changes = script.sound ? 'nothing changed' : script.changes.join('; ');
  return `${compression}, ${channels.length} channels, pages: ${blocks.join(', ')}: ${changes}`;
}

async function run({ random, folder, input, note }: Execution): Promise<void> {
  await mkdir(join(folder, 'out'));
  const image = random.chance(0.3);
  // A file can hold device sections or DEVICE_STATE packets, not both.
  const sent = migration(random, image ? { tail: false } : {});
  const script = hostileScript(random, sent);
  note(describe(sent, script));
  input(script.connections.flat().reduce((sum, { length }) => sum + length, 0));
  const sink = image ? imageSink(folder) : memorySink(random, sent);
  const states: string[] = [];
  const stay = !script.sound && random.chance(0.05);
  const uri = random.chance(0.8) ? `unix:${folder}/s` : 'tcp:127.0.0.1:0';
  const idle = new AbortController();
  const rejected: string[] = [];
  const incoming = await receive({
    ...sink.options,
    uri,
    signal: idle.signal,
    onRejected: (why) => void rejected.push(why),
    channels: sent.channels.length,
    compression: sent.compression,
    // What is sound has all the time that it needs on a busy machine.
    timeout: script.sound ? 10_000 : TIMEOUT,
    inline: !random.chance(0.04),
    ...('image' in sink.options ? {} : { onDeviceState: ({ idstr }) => void states.push(idstr) }),
  });
  const { error } = await playTo(random, incoming, script, { stay, idle, rejected });
  await sink.check(error === undefined);
  if (!script.sound) return;
  demand(error === undefined, 'outcome', `what is right was refused: ${error?.message}`);
  await checkSound(sink, sent);
  if ('image' in sink.options) return;
  const want = sent.states.map(({ idstr }) => idstr).join();
  demand(states.join() === want, 'wrong bytes', `device state ${states.join()}, not ${want}`);
  await holdsOnly(join(folder, 'out'));
  demand(
    (await readdir(folder)).every((name) => name === 'out'),
    'leak',
    'the socket was left',
  );
}

export const receivePart: Part = {
  name: 'receive',
  what: 'a receiver: mutated and unexpected messages on the main channel and all others',
  executions: { whole: 20_000, short: 100 },
  run,
};
