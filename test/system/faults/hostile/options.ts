import * as multifd from 'multifd';
import type { Random } from '../../../support/random.ts';
import { junkText, junkValue } from '../mutate.ts';
import { ending } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';

type Options = Record<string, unknown>;
type Call = (options: never) => unknown;

/** What is called, and the options that it has; what is right of them keeps it from going on. */
function calls(folder: string): ReadonlyArray<readonly [string, Call, Options]> {
  const end = {
    channels: 2,
    compression: 'none',
    uuid: '6d7f2a3e-5a59-4d0c-8a0e-1f2d3c4b5a69',
    pageSize: 4096,
    timeout: 100,
    inline: true,
    maxConnections: 10,
    token: 'x',
    switchoverAck: false,
    modules: {},
  };
  const memory = new Uint8Array(8192);
  const path = `${folder}/none`;
  const guest = { blocks: [{ id: 'ram', memory }], stop() {}, resume() {} };
  const live = { ...guest, pageSize: 4096, sliceMs: 2 };
  const source = [{ id: 'ram', source: memory }];
  const sending = { ...end, uri: `file:${path}/x`, blocks: source, machine: 'none' };
  const receiving = { ...end, uri: `unix:${path}/s`, blocks: { ram: memory }, maxBytes: 1e6 };
  const levels = { zlibLevel: 1, zstdLevel: 1, maxBandwidth: 0, zeroPageDetection: 'none' };
  const run = { uri: `unix:${path}/s`, path: `${path}/r`, timeout: 100, token: 'x' };
  const plan = {
    configuration: { machine: 'none', capabilities: [] },
    blocks: [{ id: 'ram', usedLength: 4096 }],
    pageSize: 4096,
  };
  const snapshot = { path: `${path}/x`, channels: 1, inline: true, timeout: 100 };
  const ways = { from: `unix:${path}/s`, to: `unix:${path}/t`, timeout: 100, maxConnections: 9 };
  const { Guest, ConnectionQueue, receive, send, record, replay, proxy, planImage } = multifd;
  return [
    ['send', send, { ...sending, ...levels }],
    ['receive', receive, { ...receiving, deviceStateLimit: 100, zeroed: true, force: false }],
    ['record', record, { ...run, channels: 2 }],
    ['replay', replay, run],
    ['proxy', proxy, ways],
    ['Guest', (options) => new Guest(options), live],
    [
      'ConnectionQueue',
      (options) => new ConnectionQueue(options),
      { token: 'x', maxConnections: 9 },
    ],
    ['snapshot', (options) => new Guest(guest).snapshot(options), snapshot],
    ['migrate', (options) => new Guest(guest).migrate(options), { ...end, uri: `unix:${path}/s` }],
    ['plan', planImage, plan],
  ];
}

/** Calls that take a thing and not options. */
function plain(folder: string, random: Random): ReadonlyArray<readonly [string, () => unknown]> {
  const junk = (random.chance(0.5) ? `${folder}/${junkText(random)}` : junkValue(random)) as never;
  return [
    ['inspectImage', () => multifd.inspectImage(junk)],
    ['inspectDevices', () => multifd.inspectDevices(junk)],
    ['openImage', () => multifd.openImage(junk)],
    ['isImage', () => multifd.isImage(junk)],
    ['extractBlock', () => multifd.extractBlock(junk, 'ram', `${folder}/none/x`)],
    ['extractCore', () => multifd.extractCore(junk, `${folder}/none/x`)],
    ['finishImageUpdate', () => multifd.finishImageUpdate(junk)],
    ['inspectRecording', () => multifd.inspectRecording(junk)],
    ['readRecordingTail', () => multifd.readRecordingTail(junk)],
    ['describeDevices', () => multifd.describeDevices(junk)],
  ];
}

/** URIs that are none, or hardly: nothing of them leaves this machine. */
function junkUri(random: Random, folder: string): string {
  const known = ['tcp', 'unix', 'file', 'ws', 'wss', 'http', 'https'];
  const scheme = random.pick([...known, 'fd', 'exec', '', 'TCP']);
  const host = random.pick(['127.0.0.1', '[::1]', '', '[', ']', '[::1']);
  const port = random.pick(['1', '0', '99999', '-1', '', 'x']);
  const offset = random.pick(['-1', '0x', '1e9', '99999999999999999999', '0x10']);
  const rest = random.pick<() => string>([
    () => `${host}:${port}`,
    () => `//127.0.0.1:${random.pick(['1', '65536', ''])}${junkText(random)}`,
    () => `${folder}/none/${junkText(random)}`,
    () => `${folder}/none/x,offset=${offset}`,
    () => '',
    () => '\0',
  ])();
  // A name at the beginning of a path or a host would be looked for elsewhere.
  return `${scheme}:${rest}`;
}

async function run({ random, folder, note }: Execution): Promise<void> {
  if (random.chance(0.25)) {
    const [name, call] = random.pick(plain(folder, random));
    note(name);
    await ending(async () => close(await call()));
    return;
  }
  const [name, call, sound] = random.pick(calls(folder));
  const options: Options = { ...sound, signal: AbortSignal.timeout(1000) };
  const changed: string[] = [];
  for (let left = 1 + random.below(2); left > 0; left--) {
    const key = random.pick([...Object.keys(sound), 'uri', 'blocks', 'signal']);
    const value = key === 'uri' && random.chance(0.7) ? junkUri(random, folder) : junkValue(random);
    // As a path, junk would be a file of the folder that this runs in.
    if ((key === 'path' || key === 'image') && typeof value === 'string') continue;
    options[key] = value;
    changed.push(`${key}: ${show(value)}`);
  }
  const whole = random.chance(0.05) ? junkValue(random) : options;
  note(`${name}({ ${whole === options ? changed.join(', ') : show(whole)} })`);
  await ending(async () => {
    const result = await call(whole as never);
    // What has begun all the same, ends by its signal or its time-out.
    const { completed } = (result ?? {}) as { completed?: Promise<unknown> };
    await Promise.all([completed, close(result)]);
  });
}

/** Closes what a call has opened. */
async function close(result: unknown): Promise<void> {
  const { close } = (result ?? {}) as { close?: () => Promise<void> };
  if (typeof close === 'function') await close.call(result);
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  try {
    const kind = Object.prototype.toString.call(value);
    return typeof value === 'object' ? kind : `${kind} ${String(value)}`;
  } catch {
    return 'something';
  }
}

export const optionsPart: Part = {
  name: 'options',
  what: 'URIs and options of all calls that are none',
  executions: { whole: 10_000, short: 100 },
  run,
};
