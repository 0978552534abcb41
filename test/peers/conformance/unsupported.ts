import { ConnectionQueue, receive, send } from 'multifd';
import { instantiateCore } from 'multifd/core';
import { Engine, workerLauncher } from 'multifd/engine';
import type { Lack } from './case.ts';
import { check, fails } from './check.ts';
import { newMemory, pairOf } from './memory.ts';
import { endpointsOfThreads } from './endpoints.ts';

const nobody = { blocks: {} };
const source = (): { blocks: { id: string; source: WebAssembly.Memory }[] } => ({
  blocks: [{ id: 'heap', source: newMemory('unshared', 1) }],
});

const listen = (uri: string): Promise<string> =>
  fails(receive({ ...nobody, uri }), 'ERR_UNSUPPORTED', `to listen at ${uri}`);
const dial = (uri: string): Promise<string> =>
  fails(send({ ...source(), uri }), 'ERR_UNSUPPORTED', `to dial ${uri}`);

/**
 * What is refused where a capability is missing. Core, engine, streams, live migration and errors
 * are missing nowhere.
 */
export const UNSUPPORTED: readonly Lack[] = [
  {
    capability: 'sharedMemory',
    // Some browsers hand out memory that is shared by its kind, but no other thread may have it.
    refused: () =>
      fails(instantiateCore(newMemory('shared', 1)), 'ERR_OPTION', 'a core over shared memory'),
  },
  {
    capability: 'workers',
    async refused() {
      const start = async (): Promise<void> =>
        new Engine({
          launcher: workerLauncher(new URL('file:///none')),
          channels: [null],
          clients: 1,
          payloadBytes: 64,
        }).start();
      return fails(start(), 'ERR_UNSUPPORTED', 'an engine with threads');
    },
  },
  {
    capability: 'blockingWait',
    async refused() {
      try {
        Atomics.wait(new Int32Array(newMemory('shared', 1).buffer), 0, 0, 1);
      } catch (error) {
        return (error as Error).message;
      }
      check(false, 'this thread may block');
    },
  },
  {
    capability: 'tcp',
    refused: async () => (await listen('tcp:127.0.0.1:0'), dial('tcp:127.0.0.1:1')),
  },
  { capability: 'unix', refused: async () => (await listen('unix:socket'), dial('unix:socket')) },
  {
    capability: 'tls',
    refused: () =>
      fails(
        send({ ...source(), uri: 'wss://127.0.0.1:1/', tls: { credsDir: 'none' } }),
        'ERR_UNSUPPORTED',
        'credentials of our own',
      ),
  },
  { capability: 'webSocketListen', refused: () => listen('ws://127.0.0.1:0/') },
  { capability: 'httpListen', refused: () => listen('http://127.0.0.1:0/') },
  // Whether a runtime streams its requests shows only when it does not: then nobody hears them.
  {
    capability: 'http',
    async refused({ httpTarget: uri = '' }) {
      return (await fails(send({ ...source(), uri }), 'ERR_CONNECT', 'a request that is streamed'))
        .replace(uri, 'http://HOST:PORT/PATH')
        .replace(/ \(main channel.*/, '');
    },
  },
  {
    capability: 'httpTarget',
    refused: () =>
      fails(
        receive({ ...nobody, uri: 'http://127.0.0.1:1/', connect: true }),
        'ERR_UNSUPPORTED',
        'to dial a source by HTTP',
      ),
  },
  {
    capability: 'files',
    async refused() {
      await fails(send({ ...source(), uri: 'file:image' }), 'ERR_UNSUPPORTED', 'to write an image');
      await fails(
        receive({ inbox: new ConnectionQueue(), image: 'image' }),
        'ERR_UNSUPPORTED',
        'to receive into an image',
      );
      return fails(
        receive({ ...nobody, uri: 'file:image' }).then(({ completed }) => completed),
        'ERR_UNSUPPORTED',
        'to load an image',
      );
    },
  },
  {
    capability: 'messagePort',
    async refused() {
      const { source: memory, target } = pairOf('unshared');
      const inbox = new ConnectionQueue();
      const incoming = await receive({ inbox, blocks: { heap: target } });
      incoming.completed.catch(() => {});
      const connect = (): MessagePort => new MessageChannel().port1;
      return fails(
        send({ connect, blocks: [{ id: 'heap', source: memory }] }),
        'ERR_UNSUPPORTED',
        'a MessagePort',
      );
    },
  },
  ...(['zlib', 'zstd'] as const).map(
    (compression): Lack => ({
      capability: compression,
      async refused(io) {
        const { source: memory, target } = pairOf('unshared');
        const { incoming, to } = await endpointsOfThreads(io).open(
          { blocks: { heap: target }, compression },
          io,
        );
        incoming.completed.catch(() => {});
        return fails(
          send({ ...to, compression, blocks: [{ id: 'heap', source: memory }] }),
          'ERR_CODEC',
          `compression ${compression}`,
        );
      },
    }),
  ),
];
