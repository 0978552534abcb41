import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as multifd from 'multifd';
import * as core from 'multifd/core';
import * as engine from 'multifd/engine';
import { afterAll, describe, expect, test } from 'vitest';
import { Random, SEED } from '../../support/random.ts';

/**
 * Whatever is given to a public function: a promise rejects with a MultifdError, and what gives its
 * answer at once throws one. What is given instead of an option is refused by a code that says so,
 * never as a fault of the package's own.
 */

const { MultifdError } = multifd;
const folder = mkdtempSync(join(tmpdir(), 'multifd-junk-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a caller can give by mistake, and what nobody gives but on purpose. Made anew each time. */
const JUNK: Record<string, () => unknown> = {
  undefined: () => undefined,
  null: () => null,
  true: () => true,
  'a number': () => 7,
  'a negative number': () => -1,
  'a fraction': () => 0.5,
  NaN: () => Number.NaN,
  Infinity: () => Number.POSITIVE_INFINITY,
  'a bigint': () => 10n ** 30n,
  'a symbol': () => Symbol('junk'),
  'an empty string': () => '',
  'a string': () => 'junk',
  'a string with a NUL': () => 'ju\0nk',
  'a lone surrogate': () => '\ud800',
  'an array': () => ['junk'],
  'an empty array': () => [],
  'an array of null': () => [null],
  'an object': () => ({ junk: true }),
  'an object without a prototype': () => Object.create(null),
  'an object that refers to itself': () => {
    const object: Record<string, unknown> = {};
    object['self'] = object;
    return object;
  },
  'an object with a constructor that throws': () => ({
    get constructor() {
      throw new Error('no name');
    },
  }),
  'a function': () => () => 'junk',
  'a function that throws': () => () => {
    throw Object.create(null);
  },
  'an async function that rejects': () => async () => {
    throw new Error('later');
  },
  'a Date': () => new Date(0),
  'a RegExp': () => /junk/,
  'a Map': () => new Map([['junk', 1]]),
  'a promise': () => Promise.resolve('junk'),
  'a Float64Array': () => new Float64Array(3),
  'a DataView': () => new DataView(new ArrayBuffer(5), 1),
  'a Uint8Array': () => new Uint8Array(16),
  'an ArrayBuffer': () => new ArrayBuffer(12),
  'a memory': () => new WebAssembly.Memory({ initial: 0 }),
  'a URL': () => new URL('about:junk'),
  'a Blob': () => new Blob(['junk']),
  'an Error': () => new Error('junk'),
};

const memory = (): WebAssembly.Memory =>
  new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
/** Ended before it begins, so that nothing waits for anybody who does not come. */
const signal = AbortSignal.abort();
const empty = (): WebAssembly.Instance =>
  new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)));
const launcher = (): engine.Launcher =>
  engine.inlineLauncher(() => ({
    kind: 'send',
    payloads: new Map(),
    open() {},
    sync() {},
    stop() {},
    close() {},
  }));

const migration = () => ({
  channels: 2,
  compression: 'none',
  uuid: new Uint8Array(16),
  switchoverAck: false,
  pageSize: 4096,
  timeout: 500,
  signal,
  onProgress() {},
  inline: true,
  token: 'token',
  maxConnections: 5,
  modules: {},
  createWorker: () => ({}),
});
const outgoing = () => ({
  ...migration(),
  uri: 'tcp:127.0.0.1:1',
  listen: false,
  onListening() {},
  onRejected() {},
  machine: 'none',
  zeroPageDetection: 'multifd',
  zlibLevel: 1,
  zstdLevel: 1,
  maxBandwidth: 0,
  returnPath: true,
});
const imageOptions = () => ({ offset: 0, token: 'token', timeout: 500, signal });
const live = () => ({
  ...outgoing(),
  downtimeLimit: 1,
  maxRounds: 2,
  onMaxRounds: 'fail',
  autoConverge: false,
  onRound() {},
});
const guestOptions = () => ({
  blocks: [{ id: 'ram', memory: memory() }],
  stop() {},
  resume() {},
  deviceState: () => [],
  check() {},
  throttle() {},
  pageSize: 4096,
  sliceMs: 1,
  scanShare: 0.1,
  scanThreads: 1,
});
const guest = new multifd.Guest(guestOptions());

type Options = Record<string, unknown>;
interface Called {
  /** By name, each argument that is right; options are looked into one by one. */
  args: () => unknown[];
  call: (...args: never[]) => unknown;
}

const path = (name: string): string => join(folder, name);
const FUNCTIONS: Record<string, Called> = {
  send: {
    args: () => [{ ...outgoing(), blocks: [{ id: 'ram', source: memory() }], deviceState: [] }],
    call: multifd.send,
  },
  'send, of an image': {
    args: () => [{ ...outgoing(), image: path('none'), imageOffset: 0, imageToken: 'token' }],
    call: multifd.send,
  },
  'send, to a file': {
    args: () => [
      {
        ...outgoing(),
        uri: `file:${path('out')}`,
        blocks: [{ id: 'ram', source: memory() }],
        deviceState: [],
        force: true,
      },
    ],
    call: multifd.send,
  },
  'send, with TLS': {
    args: () => [
      {
        ...outgoing(),
        blocks: [{ id: 'ram', source: memory() }],
        tls: { credsDir: path('none'), hostname: 'a', verifyPeer: true, pskUsername: 'me' },
      },
    ],
    call: multifd.send,
  },
  'send, by connect': {
    args: () => [{ connect: () => null, signal, blocks: [{ id: 'ram', source: memory() }] }],
    call: multifd.send,
  },
  'send, by an inbox': {
    args: () => [
      { inbox: new multifd.ConnectionQueue(), signal, blocks: [{ id: 'ram', source: memory() }] },
    ],
    call: multifd.send,
  },
  receive: {
    args: () => [
      {
        ...migration(),
        uri: 'tcp:127.0.0.1:0',
        connect: false,
        blocks: { ram: memory() },
        zeroed: false,
        maxBytes: 1,
        deviceStateLimit: 1,
        onDeviceState() {},
        start() {},
        onRejected() {},
      },
    ],
    call: multifd.receive,
  },
  'receive, into an image': {
    args: () => [{ ...migration(), uri: 'tcp:127.0.0.1:0', image: path('image'), force: true }],
    call: multifd.receive,
  },
  'receive, from a file': {
    args: () => [{ ...migration(), uri: `file:${path('none')}`, blocks: { ram: memory() } }],
    call: multifd.receive,
  },
  'receive, with TLS': {
    args: () => [
      {
        ...migration(),
        uri: 'tcp:127.0.0.1:0',
        blocks: {},
        tls: { credsDir: path('none'), verifyPeer: true, authz: ['CN=a'] },
      },
    ],
    call: multifd.receive,
  },
  ConnectionQueue: {
    args: () => [{ token: 'token', maxConnections: 5 }],
    call: (options: never) => new multifd.ConnectionQueue(options),
  },
  'ConnectionQueue.add': {
    args: () => [{ readable: 1, writable: 2 }],
    call: (connection: never) => new multifd.ConnectionQueue().add(connection),
  },
  'ConnectionQueue.fetch': {
    args: () => [{ headers: 1 }],
    call: (request: never) => new multifd.ConnectionQueue().fetch(request),
  },
  Guest: { args: () => [guestOptions()], call: (options: never) => new multifd.Guest(options) },
  'Guest.migrate': { args: () => [live()], call: (options: never) => guest.migrate(options) },
  'Guest.snapshot': {
    args: () => [
      {
        path: path('snapshot'),
        force: true,
        signal,
        onRound() {},
        onProgress() {},
        channels: 1,
        machine: 'none',
        timeout: 500,
      },
    ],
    call: (options: never) => guest.snapshot(options),
  },
  reactorGuest: {
    args: () => [
      { instance: empty(), memory: memory(), memories: {}, imports: {} },
      { id: 'ram', stop() {}, resume() {}, saveHost() {}, tracking: 'compare' },
    ],
    call: multifd.reactorGuest,
  },
  reactorTarget: {
    args: () => [
      { instance: empty(), memory: memory() },
      { id: 'ram', start() {}, loadHost() {}, grow() {} },
    ],
    call: multifd.reactorTarget,
  },
  hashScratchBytes: { args: () => [4096, 1], call: multifd.hashScratchBytes },
  proxy: {
    args: () => [
      {
        from: 'tcp:127.0.0.1:0',
        to: 'tcp:127.0.0.1:0',
        rendezvous: false,
        token: 'a',
        toToken: 'b',
        maxConnections: 5,
        timeout: 500,
        onRejected() {},
      },
    ],
    call: (options: never) => closing(multifd.proxy(options)),
  },
  'proxy, with TLS': {
    args: () => [
      {
        from: 'tcp:127.0.0.1:0',
        to: 'tcp:127.0.0.1:0',
        tls: { credsDir: path('none') },
        toTls: { credsDir: path('none') },
      },
    ],
    call: (options: never) => closing(multifd.proxy(options)),
  },
  record: {
    args: () => [
      {
        uri: 'tcp:127.0.0.1:0',
        path: path('recording'),
        timeout: 500,
        signal,
        token: 'token',
        onProgress() {},
        channels: 1,
        pageSize: 4096,
        force: true,
        keep: false,
        onRejected() {},
      },
    ],
    call: multifd.record,
  },
  replay: {
    args: () => [
      {
        uri: 'tcp:127.0.0.1:1',
        path: path('none'),
        timeout: 500,
        signal,
        token: 'token',
        onProgress() {},
        timing: false,
      },
    ],
    call: multifd.replay,
  },
  inspectRecording: {
    args: () => [path('none'), { pageSize: 4096 }],
    call: multifd.inspectRecording,
  },
  readRecordingTail: {
    args: () => [path('none'), { pageSize: 4096 }],
    call: multifd.readRecordingTail,
  },
  inspectRecordedDevices: {
    args: () => [path('none'), { device: 'cpu' }],
    call: multifd.inspectRecordedDevices,
  },
  openImage: { args: () => [path('none'), imageOptions()], call: multifd.openImage },
  'openImage, of access of our own': {
    args: () => [{ name: 'mine', size: 100, read: () => 0, close() {}, sizeOnDisk: () => 0 }, {}],
    call: multifd.openImage,
  },
  isImage: { args: () => [path('none'), imageOptions()], call: multifd.isImage },
  inspectImage: { args: () => [path('none'), imageOptions()], call: multifd.inspectImage },
  inspectDevices: {
    args: () => [path('none'), { ...imageOptions(), device: 'cpu' }],
    call: multifd.inspectDevices,
  },
  extractBlock: {
    args: () => [
      path('none'),
      'ram',
      path('block'),
      { ...imageOptions(), force: true, onProgress() {} },
    ],
    call: multifd.extractBlock,
  },
  extractCore: {
    args: () => [path('none'), path('core'), { ...imageOptions(), force: true, onProgress() {} }],
    call: multifd.extractCore,
  },
  finishImageUpdate: { args: () => [path('none')], call: multifd.finishImageUpdate },
  planImage: {
    args: () => [
      {
        configuration: { machine: 'none', capabilities: ['x'] },
        blocks: [{ id: 'ram', usedLength: 4096 }],
        pageSize: 4096,
        offset: 0,
      },
    ],
    call: multifd.planImage,
  },
  countBits: { args: () => [new Uint8Array(8)], call: multifd.countBits },
  runsOf: {
    args: () => [new Uint8Array(8), 64],
    call: (bitmap: never, pages: never) => [...multifd.runsOf(bitmap, pages)],
  },
  describeDevices: { args: () => [new Uint8Array(8)], call: multifd.describeDevices },
  compileCore: { args: () => ['shared'], call: core.compileCore },
  coreKind: { args: () => [memory()], call: core.coreKind },
  instantiateCore: { args: () => [memory(), undefined], call: core.instantiateCore },
  instantiateCoreSync: {
    args: () => [memory(), new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0))],
    call: core.instantiateCoreSync,
  },
  packetError: {
    args: () => [1, new DataView(new ArrayBuffer(2000)), {}, 0],
    call: core.packetError,
  },
  blockTable: { args: () => [[{ id: 'ram', usedLength: 4096 }]], call: core.blockTable },
  encodeId: { args: () => ['ram'], call: core.encodeId },
  decodeId: { args: () => [new Uint8Array(256)], call: core.decodeId },
  pagesPerPacket: { args: () => [4096], call: core.pagesPerPacket },
  ramHeaderLength: { args: () => [128], call: core.ramHeaderLength },
  hashKeyLength: { args: () => [4096], call: core.hashKeyLength },
  Engine: {
    args: () => [
      {
        launcher: launcher(),
        channels: [null],
        clients: 1,
        payloadBytes: 64,
        scratchBytes: 0,
        sharedBytes: 0,
        onValue() {},
      },
    ],
    call: (options: never) => new engine.Engine(options),
  },
  'Engine.client': {
    args: () => [0],
    call: (index: never) =>
      new engine.Engine({
        launcher: launcher(),
        channels: [null],
        clients: 1,
        payloadBytes: 64,
      }).client(index),
  },
  'Engine.start, with a worker': {
    args: () => [new URL('file:///none.js'), () => []],
    call: (module: never, transferOf: never) =>
      started(
        new engine.Engine({
          launcher: engine.workerLauncher(module, transferOf),
          channels: [null],
          clients: 1,
          payloadBytes: 64,
        }),
      ),
  },
  'Engine.start, inline': {
    args: () => [() => ({})],
    call: (factory: never) =>
      started(
        new engine.Engine({
          launcher: engine.inlineLauncher(factory),
          channels: [null],
          clients: 1,
          payloadBytes: 64,
        }),
      ),
  },
  'Client.attach': {
    args: () => [
      new engine.Engine({
        launcher: launcher(),
        channels: [null],
        clients: 1,
        payloadBytes: 64,
      }).client(0).handle,
    ],
    call: (handle: never) => engine.Client.attach(handle),
  },
  serveChannel: { args: () => [() => ({})], call: engine.serveChannel },
};

async function closing(proxy: Promise<multifd.Proxy>): Promise<void> {
  await (await proxy).close();
}

async function started(made: engine.Engine): Promise<void> {
  try {
    await made.start();
  } finally {
    await made.abort(new MultifdError('ERR_CANCELLED', 'seen enough'));
  }
}

/** What came of a call. */
interface Seen {
  thrown: unknown;
  /** It threw where it should have rejected. */
  atOnce: boolean;
}

async function outcome(
  call: (...args: never[]) => unknown,
  args: unknown[],
): Promise<Seen | undefined> {
  let given: unknown;
  try {
    given = call(...(args as never[]));
  } catch (thrown) {
    return { thrown, atOnce: true };
  }
  try {
    const result = (await given) as { completed?: Promise<unknown> } | undefined;
    await result?.completed;
    return undefined;
  } catch (thrown) {
    return { thrown, atOnce: false };
  }
}

/** Those that give their answer at once. */
const SYNCHRONOUS = new Set([
  'ConnectionQueue',
  'Guest',
  'reactorGuest',
  'reactorTarget',
  'hashScratchBytes',
  'planImage',
  'countBits',
  'runsOf',
  'describeDevices',
  'coreKind',
  'instantiateCoreSync',
  'packetError',
  'blockTable',
  'encodeId',
  'decodeId',
  'pagesPerPacket',
  'ramHeaderLength',
  'hashKeyLength',
  'Engine',
  'Engine.client',
  'Client.attach',
  'serveChannel',
]);

/** Of what was thrown: what it is, and where. */
function firstLines(thrown: unknown): string {
  return thrown instanceof Error
    ? thrown
        .stack!.split('\n')
        .slice(0, 4)
        .map((line) => line.trim().replace(/\(file:.*\/build\//, '('))
        .join(' ')
    : typeof thrown;
}

/**
 * Code of the caller's that fails: its error is told as it is, with what was thrown as the cause.
 */
const FAILING = new Set([
  'an object with a constructor that throws',
  'a function that throws',
  'an async function that rejects',
]);

/**
 * What is wrong with what came of a call; undefined if nothing is.
 * @param theirs whether code of the caller's may have failed.
 */
async function problem(name: string, args: unknown[], theirs = false): Promise<string | undefined> {
  const seen = await outcome(FUNCTIONS[name]!.call, args);
  if (seen === undefined) return undefined;
  if (!(seen.thrown instanceof MultifdError)) return `raw ${firstLines(seen.thrown)}`;
  if (seen.atOnce && !SYNCHRONOUS.has(name)) return `threw at once: ${seen.thrown.message}`;
  return seen.thrown.code === 'ERR_INTERNAL' && !theirs
    ? `a fault of our own: ${firstLines(seen.thrown.cause)}`
    : undefined;
}

/** Without a signal, who waits for a source waits on. */
function waitsForEver(at: (string | number)[], what: string): boolean {
  return at.at(-1) === 'signal' && what === 'undefined';
}

/** All places in arguments that something can be put in, by path. */
function* places(value: unknown, at: (string | number)[] = []): Generator<(string | number)[]> {
  if (at.length > 0) yield at;
  const plain =
    Array.isArray(value) ||
    (typeof value === 'object' &&
      value !== null &&
      [Object.prototype, null].includes(Object.getPrototypeOf(value)));
  if (!plain || at.length > 3) return;
  for (const [key, inner] of Object.entries(value as Options)) yield* places(inner, [...at, key]);
}

function put(args: unknown[], at: (string | number)[], value: unknown): unknown[] {
  let within = args as unknown as Options;
  for (const key of at.slice(0, -1)) within = within[key] as Options;
  within[at.at(-1)!] = value;
  return args;
}

describe('whatever is given', () => {
  test.each(Object.keys(FUNCTIONS))(
    '%s says by a MultifdError what is wrong with it',
    async (name) => {
      const unhandled: unknown[] = [];
      const note = (reason: unknown): void => void unhandled.push(reason);
      process.on('unhandledRejection', note);
      process.on('uncaughtException', note);
      const { args } = FUNCTIONS[name]!;
      const wrong: string[] = [];
      const all = [...places(args())];
      for (const at of all) {
        for (const [what, make] of Object.entries(JUNK)) {
          if (waitsForEver(at, what)) continue;
          const found = await problem(name, put(args(), at, make()), FAILING.has(what));
          if (found !== undefined) wrong.push(`${what} at ${at.join('.')}: ${found}`);
        }
      }
      for (const count of [0, 1]) {
        const found = await problem(name, args().slice(0, count));
        if (found !== undefined) wrong.push(`${count} arguments: ${found}`);
      }
      process.off('unhandledRejection', note);
      process.off('uncaughtException', note);
      expect(wrong).toEqual([]);
      expect(unhandled).toEqual([]);
      expect(all.length).toBeGreaterThan(0);
    },
  );

  test(`several wrong at once (SEED ${SEED})`, async () => {
    const random = new Random(SEED);
    const names = Object.keys(FUNCTIONS);
    const wrong: string[] = [];
    for (let round = 0; round < 500; round++) {
      const name = random.pick(names);
      const args = FUNCTIONS[name]!.args();
      const all = [...places(args)].filter((at) => at.length < 3);
      const told: string[] = [];
      let theirs = false;
      for (let n = random.below(3); n >= 0; n--) {
        const at = random.pick(all);
        const what = random.pick(Object.keys(JUNK));
        if (waitsForEver(at, what)) continue;
        theirs ||= FAILING.has(what);
        told.push(`${what} at ${at.join('.')}`);
        try {
          put(args, at, JUNK[what]!());
        } catch {
          // The place has gone with what was put there before.
        }
      }
      const found = await problem(name, args, theirs);
      if (found !== undefined) wrong.push(`${name}, ${told.join(', ')}: ${found}`);
    }
    expect(wrong).toEqual([]);
  });

  test('no file is left of all that', () => {
    expect(readdirSync(folder).filter((name) => name.startsWith('.multifd'))).toEqual([]);
  });
});
