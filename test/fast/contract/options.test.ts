import { join } from 'node:path';
import {
  ConnectionQueue,
  extractBlock,
  extractCore,
  Guest,
  inspectDevices,
  inspectImage,
  inspectRecordedDevices,
  inspectRecording,
  isImage,
  openImage,
  planImage,
  proxy,
  reactorGuest,
  reactorTarget,
  readRecordingTail,
  receive,
  record,
  replay,
  send,
} from 'multifd';
import { Engine, inlineLauncher, Receivers } from 'multifd/engine';
import { describe, expect, it } from 'vitest';
import { errorOf, withFolder } from '../../support/migration.ts';

const FILE = '/nowhere/at/all';
const memory = new WebAssembly.Memory({ initial: 1 });
const guestOptions = { blocks: [{ id: 'ram', memory }], stop() {}, resume() {} };
const reactor = { instance: { exports: { memory } } as unknown as WebAssembly.Instance };
const launcher = inlineLauncher(() => {
  throw new Error('not to be launched');
});
const engineOptions = { launcher, channels: [0], clients: 1, payloadBytes: 64 };

/** A public function with one option too many, and the names that it is to be taken for. */
type Case = [name: string, wrong: string, near: string, call: (wrong: object) => unknown];

const CASES: Case[] = [
  ['send', 'chanels', 'channels', (wrong) => send({ uri: 'tcp::1', ...wrong })],
  ['send', 'maxBandwith', 'maxBandwidth', (wrong) => send({ uri: 'tcp::1', ...wrong })],
  ['receive', 'onDeviceSate', 'onDeviceState', (wrong) => receive({ blocks: {}, ...wrong })],
  ['receive', 'timeOut', 'timeout', (wrong) => receive({ blocks: {}, ...wrong })],
  [
    'record',
    'origin',
    'origins',
    (wrong) => record({ uri: 'tcp:127.0.0.1:0', path: FILE, ...wrong }),
  ],
  ['replay', 'timming', 'timing', (wrong) => replay({ uri: 'tcp::1', path: FILE, ...wrong })],
  [
    'proxy',
    'rendevous',
    'rendezvous',
    (wrong) => proxy({ from: 'tcp:127.0.0.1:0', to: 'tcp::1', ...wrong }),
  ],
  ['a guest', 'scanThread', 'scanThreads', (wrong) => new Guest({ ...guestOptions, ...wrong })],
  [
    'a block',
    'traking',
    'tracking',
    (wrong) => new Guest({ ...guestOptions, blocks: [{ id: 'ram', memory, ...wrong }] }),
  ],
  [
    'migrate',
    'downtimelimit',
    'downtimeLimit',
    (wrong) => new Guest(guestOptions).migrate({ uri: 'tcp::1', ...wrong }),
  ],
  [
    'snapshot',
    'foce',
    'force',
    (wrong) => new Guest(guestOptions).snapshot({ path: FILE, ...wrong }),
  ],
  [
    'options of a reactor',
    'saveHosts',
    'saveHost',
    (wrong) => reactorGuest(reactor, { stop() {}, resume() {}, ...wrong }),
  ],
  [
    'options of a reactor',
    'laodHost',
    'loadHost',
    (wrong) => reactorTarget(reactor, { start() {}, ...wrong }),
  ],
  ['options of an image', 'ofset', 'offset', (wrong) => openImage(FILE, wrong)],
  ['options of an image', 'tokens', 'token', (wrong) => isImage(FILE, wrong)],
  ['options of an image', 'singal', 'signal', (wrong) => inspectImage(FILE, wrong)],
  ['options of an image', 'devices', 'device', (wrong) => inspectDevices(FILE, wrong)],
  ['options of an image', 'forced', 'force', (wrong) => extractBlock(FILE, 'a', FILE, wrong)],
  ['options of an image', 'onprogres', 'onProgress', (wrong) => extractCore(FILE, FILE, wrong)],
  [
    'the shape of an image',
    'pagesize',
    'pageSize',
    (wrong) =>
      planImage({
        configuration: { machine: 'none', capabilities: [] },
        blocks: [],
        pageSize: 4096,
        ...wrong,
      }),
  ],
  ['options', 'pagesSize', 'pageSize', (wrong) => inspectRecording(FILE, wrong)],
  ['options', 'maxDeviceStat', 'maxDeviceState', (wrong) => readRecordingTail(FILE, wrong)],
  ['options', 'devise', 'device', (wrong) => inspectRecordedDevices(FILE, wrong)],
  ['options of a ConnectionQueue', 'maxwaits', 'maxWait', (wrong) => new ConnectionQueue(wrong)],
  ['tls', 'hostName', 'hostname', (wrong) => sendWithTls(wrong)],
  ['tls', 'autz', 'authz', (wrong) => receiveWithTls(wrong)],
  ['modules', 'share', 'shared', (wrong) => send({ uri: 'tcp::1', modules: wrong })],
  ['an Engine', 'client', 'clients', (wrong) => new Engine({ ...engineOptions, ...wrong })],
  ['start', 'lowPriorty', 'lowPriority', (wrong) => new Engine(engineOptions).start(wrong)],
  [
    'Receivers',
    'launchers',
    'launcher',
    (wrong) =>
      new Receivers({
        launcher,
        geometry: { channels: 1, clients: 0, payloadBytes: 64, scratchBytes: 0, sharedBytes: 0 },
        ...wrong,
      }),
  ],
];

const sendWithTls = (wrong: object): unknown =>
  send({ uri: 'tcp:127.0.0.1:1', blocks: [], tls: { credsDir: FILE, ...wrong } });
const receiveWithTls = (wrong: object): unknown =>
  receive({ uri: 'tcp:127.0.0.1:0', blocks: {}, tls: { credsDir: FILE, ...wrong } });

describe('an option that is not known', () => {
  it.each(CASES)('%s: "%s" is refused, with "%s"', async (name, wrong, near, call) => {
    for (const value of [1, undefined]) {
      const error = await errorOf((async () => call({ [wrong]: value }))());
      expect(error.code).toBe('ERR_OPTION');
      expect(error.message).toBe(`${name}: unknown option "${wrong}": did you mean "${near}"?`);
    }
  });

  it('that is like none is refused with all there are', async () => {
    const error = await errorOf(openImage(FILE, { onStranger: () => {} } as never));
    expect(error.message).toBe(
      'options of an image: unknown option "onStranger": there are offset, maxDeviceState, ' +
        'token, timeout, signal',
    );
  });

  it('is found in objects without a prototype, and not asked for its value', async () => {
    const options = Object.create(null) as Record<string, unknown>;
    Object.defineProperty(options, 'chanels', {
      enumerable: true,
      get: () => {
        throw new Error('it was asked');
      },
    });
    expect((await errorOf(send(options as never))).message).toContain('did you mean "channels"?');
    // What every object has is no option either.
    const error = await errorOf(send({ constructor: 1 } as never));
    expect(error.message).toContain('unknown option "constructor"');
  });

  it('is none where the object is of a class of the caller, which has fields of its own', async () => {
    class Program {
      readonly blocks = guestOptions.blocks;
      chanels = 3;
      stop(): void {}
      resume(): void {}
    }
    await withFolder(async (folder) => {
      const { ram } = await new Guest(new Program()).snapshot({
        path: join(folder, 'image'),
        inline: true,
      });
      expect(ram.total).toBe(memory.buffer.byteLength);
    });
  });
});
