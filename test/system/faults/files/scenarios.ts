import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { receive, send } from 'multifd';
import { messages, writeRecording } from '../../../support/recording.ts';
import { Random } from '../../../support/random.ts';
import { fixture, memoryImage, pcImage, someMemory } from '../bases.ts';
import type { OutputKind } from '../contents.ts';
import { ending, type Ending, sameBytes } from '../oracles.ts';
import { leftOver } from '../hostile/sidecars.ts';

const COMMAND = fileURLToPath(new URL('../multifd.js', import.meta.url));
const CHILD = fileURLToPath(new URL('./child.js', import.meta.url));

/** Something that a process does with files, in the folder that it is given. */
export interface Scenario {
  readonly name: string;
  /** What comes out of it, below the folder. */
  readonly output?: { readonly path: string; readonly kind: OutputKind };
  /** What may not change, below the folder. */
  readonly sources: readonly string[];
  prepare(folder: string): Promise<void>;
  /** What node is given. */
  command(folder: string): string[];
  /** The same for a next run, which has to go through whatever the one before has left. */
  again?(folder: string): string[];
  /** The other end, started once the process listens; `early`: before it is started. */
  peer?(folder: string, signal: AbortSignal): Promise<Ending<unknown>>;
  readonly early?: true;
}

const OUT = 'out/it';
const CONTENT = someMemory(new Random(6), 40);
const TIMEOUT = 2000;
const seconds = ['--timeout', '2'];

const cli = (...args: string[]): string[] => [COMMAND, ...args];
const unix = (folder: string): string => `unix:${folder}/s`;

const toIt = (folder: string, signal: AbortSignal): Promise<Ending<unknown>> =>
  ending(
    send({
      uri: unix(folder),
      blocks: [{ id: 'ram', source: CONTENT }],
      deviceState: [{ idstr: 'state', instanceId: 0, data: new Uint8Array(300).fill(9) }],
      inline: true,
      timeout: TIMEOUT,
      signal,
    }),
  );

/** A receiver for what is sent; what came has to be what is there. */
async function fromIt(folder: string, signal: AbortSignal): Promise<Ending<unknown>> {
  const memory = new Uint8Array(CONTENT.length);
  const blocks = { file: memory, ram: memory };
  const options = { inline: true, timeout: TIMEOUT, signal };
  const incoming = await receive({ uri: unix(folder), blocks, ...options });
  const ended = await ending(incoming.completed);
  if (ended.error === undefined) sameBytes(memory, CONTENT, 'what was received');
  return ended;
}

async function files(folder: string, contents: Record<string, Uint8Array>): Promise<void> {
  for (const [name, bytes] of Object.entries(contents)) await writeFile(join(folder, name), bytes);
}

/** An image that is to be replaced. */
const old = async (folder: string): Promise<void> => {
  const blocks = [{ id: 'old', source: new Uint8Array(8192).fill(1) }];
  await send({ uri: `file:${join(folder, OUT)}`, blocks, inline: true });
};

const oldRecording = async (folder: string): Promise<void> => {
  await writeRecording(join(folder, OUT), messages());
};

const nothing = async (): Promise<void> => {};

function capture(name: string, prepare: Scenario['prepare'], force: readonly string[]): Scenario {
  const command = (folder: string, ...more: string[]): string[] =>
    cli('receive', unix(folder), join(folder, OUT), '--json', ...seconds, ...more);
  return {
    name,
    output: { path: OUT, kind: 'image' },
    sources: [],
    prepare,
    command: (folder) => command(folder, ...force),
    again: (folder) => command(folder, '--force'),
    peer: toIt,
  };
}

function recording(name: string, prepare: Scenario['prepare'], force: readonly string[]): Scenario {
  const command = (folder: string, ...more: string[]): string[] =>
    cli('record', unix(folder), join(folder, OUT), '--json', ...seconds, ...more);
  return {
    name,
    output: { path: OUT, kind: 'recording' },
    sources: [],
    prepare,
    command: (folder) => command(folder, ...force),
    again: (folder) => command(folder, '--force'),
    peer: toIt,
  };
}

/** A command that makes a file of a file. */
function local(
  name: string,
  kind: 'image' | 'file',
  source: () => Promise<Uint8Array>,
  args: (input: string, output: string) => string[],
): Scenario {
  const command = (folder: string, ...more: string[]): string[] =>
    cli(...args(join(folder, 'in/file'), join(folder, OUT)), '--quiet', ...more);
  return {
    name,
    output: { path: OUT, kind },
    sources: ['in/file'],
    prepare: async (folder) => files(folder, { 'in/file': await source() }),
    command: (folder) => command(folder),
    again: (folder) => command(folder, '--force'),
  };
}

const contentBytes = async (): Promise<Uint8Array> => CONTENT;
const memoryBytes = async (): Promise<Uint8Array> => (await memoryImage()).bytes;
const pcBytes = async (): Promise<Uint8Array> => (await pcImage()).bytes;

export const SCENARIOS: readonly Scenario[] = [
  capture('capture', nothing, []),
  capture('capture over another', old, ['--force']),
  recording('record', nothing, []),
  recording('record over another', oldRecording, ['--force']),
  local('send to an image', 'image', contentBytes, (from, to) => ['send', from, `file:${to}`]),
  local('load into an image', 'image', memoryBytes, (from, to) => ['receive', `file:${from}`, to]),
  local('extract a block', 'file', memoryBytes, (from, to) => ['extract', from, 'heap', to]),
  local('extract a core', 'file', pcBytes, (from, to) => ['extract', from, '--format', 'elf', to]),
  {
    name: 'send',
    sources: ['in/file'],
    prepare: (folder) => files(folder, { 'in/file': CONTENT }),
    command: (folder) => cli('send', join(folder, 'in/file'), unix(folder), '--quiet', ...seconds),
    peer: fromIt,
    early: true,
  },
  {
    name: 'replay',
    sources: ['in/main', 'in/channel-0', 'in/channel-1'],
    prepare: async (folder) => void (await writeRecording(join(folder, 'in'), messages())),
    command: (folder) => cli('replay', join(folder, 'in'), unix(folder), '--quiet', ...seconds),
    async peer(folder, signal) {
      const blocks = { ram: new Uint8Array(16 * 4096) };
      const options = { inline: true, timeout: TIMEOUT, signal };
      const incoming = await receive({ uri: unix(folder), blocks, ...options });
      return ending(incoming.completed);
    },
    early: true,
  },
  {
    name: 'inspect an image',
    sources: ['in/file'],
    prepare: async (folder) => files(folder, { 'in/file': await pcBytes() }),
    command: (folder) => cli('inspect', join(folder, 'in/file'), '--devices', '--json'),
  },
  {
    name: 'inspect a recording',
    sources: [],
    prepare: nothing,
    command: () => cli('inspect', fixture('qemu-7.2-pc'), '--json'),
  },
  {
    name: 'snapshot and its update',
    output: { path: OUT, kind: 'image' },
    sources: [],
    prepare: nothing,
    command: (folder) => [CHILD, 'snapshot', join(folder, OUT)],
    again: (folder) => [CHILD, 'snapshot-over', join(folder, OUT)],
  },
  {
    name: 'finish',
    output: { path: 'out/image', kind: 'image' },
    sources: [],
    async prepare(folder) {
      for (const [name, bytes] of await leftOver()) {
        await writeFile(join(folder, 'out', name), bytes);
      }
    },
    command: (folder) => [CHILD, 'finish', join(folder, 'out/image')],
    again: (folder) => [CHILD, 'finish', join(folder, 'out/image')],
  },
];

/** The folder as a scenario finds it. */
export async function prepared(scenario: Scenario, folder: string): Promise<void> {
  for (const name of ['in', 'out']) await mkdir(join(folder, name), { recursive: true });
  await scenario.prepare(folder);
}
