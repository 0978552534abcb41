import {
  type Compression,
  type DeviceState,
  type MigrationStatistics,
  type MultifdError,
  type OutgoingOptions,
  receive,
  send,
} from 'multifd';
import type { Io } from './capabilities.ts';
import type { Case } from './case.ts';
import { equal, errorOf, Failure, fails, sameBytes } from './check.ts';
import { bytesOf, fill, type Kind, newMemory, pairOf } from './memory.ts';
import {
  STREAMS,
  streamPairs,
  type Target,
  type Endpoints,
  endpointsOfThreads,
  endpointsOf,
} from './endpoints.ts';

/** Long enough for a source to have filled a connection. */
const LATE_MS = 150;

/** Moves something from here to here. */
export async function move(
  ends: Endpoints,
  io: Io,
  target: Target,
  source: Omit<OutgoingOptions, 'uri' | 'connect' | 'listen'>,
): Promise<[MigrationStatistics, MigrationStatistics]> {
  const { incoming, to } = await ends.open(target, io);
  const [sent, received] = await Promise.allSettled([
    send({ ...source, ...to }),
    incoming.completed,
  ]);
  if (sent.status === 'fulfilled' && received.status === 'fulfilled')
    return [sent.value, received.value];
  const why = [sent, received].map((end) =>
    end.status === 'rejected'
      ? `${(end.reason as MultifdError).code} ${(end.reason as Error).message}`
      : 'completed',
  );
  throw new Failure(`source: ${why[0]}; target: ${why[1]}`);
}

export function transferCases(io: Io): readonly Case[] {
  const kinds: readonly Kind[] = ['unshared', 'shared'];
  const each = endpointsOf(io).flatMap((ends) =>
    kinds.map((kind): Case => {
      const needs = [
        ...(ends.needs ?? []),
        ...(kind === 'shared' ? (['sharedMemory'] as const) : []),
      ];
      return {
        capability: ends.capability,
        needs,
        name: `${ends.name}: ${kind} memory`,
        run: () => memories(ends, io, kind),
      };
    }),
  );
  return [
    ...each,
    ...endpointsOf(io).map(
      (ends): Case => ({
        capability: ends.capability,
        needs: ends.needs ?? [],
        name: `${ends.name}: channels as tasks of this thread`,
        run: () => memories(ends, io, 'unshared', { inline: true }),
      }),
    ),
    ...endpointsOf(io).map(
      (ends): Case => ({
        capability: ends.capability,
        needs: [...(ends.needs ?? []), 'sharedMemory'],
        name: `${ends.name}: a target that takes its time to find a place`,
        run: () => lateTarget(ends, io),
      }),
    ),
    ...(io.httpTarget === undefined
      ? []
      : [{ capability: 'http', name: 'HTTP, to a target elsewhere', run: toElsewhere } as const]),
    { capability: 'streams', name: 'its progress, iterated', run: () => progress(io) },
    { capability: 'streams', name: 'one channel, and 5', run: () => channelCounts(io) },
    {
      capability: 'streams',
      name: 'larger pages',
      run: () => memories(STREAMS, io, 'unshared', { pageSize: 65536 }),
    },
    {
      capability: 'streams',
      name: 'device state comes after the pages',
      run: () => deviceState(io),
    },
    { capability: 'streams', name: 'several blocks, chosen by a function', run: () => blocks(io) },
    {
      capability: 'zlib',
      name: 'compression zlib',
      run: () => memories(STREAMS, io, 'unshared', { compression: 'zlib' }),
    },
    {
      capability: 'zstd',
      name: 'compression zstd',
      run: () => memories(endpointsOfThreads(io), io, 'unshared', { compression: 'zstd' }),
    },
    { capability: 'files', name: 'an image: written, loaded, sent, received', run: images },
    {
      capability: 'files',
      name: 'a file, and an image, that change while they are sent',
      run: changingFiles,
    },
    { capability: 'files', name: 'a pipe is no file', run: noFile },
  ];
}

/** Compares memories, and the zero pages that both ends counted. */
async function memories(
  ends: Endpoints,
  io: Io,
  kind: Kind,
  options: {
    inline?: boolean;
    pageSize?: number;
    channels?: number;
    compression?: Compression;
  } = {},
): Promise<void> {
  const { source, target, pages, zeros } = pairOf(kind);
  const [sent, received] = await move(
    ends,
    io,
    { ...options, blocks: { heap: target } },
    { ...options, blocks: [{ id: 'heap', source }] },
  );
  sameBytes(bytesOf(target), bytesOf(source), 'memory');
  if (options.pageSize === undefined) {
    for (const { ram } of [sent, received])
      equal([ram.duplicate, ram.normal], [zeros, pages - zeros], 'zero pages and others');
  }
}

/**
 * As much comes before the channels begin as their connections hold: none of it may be lost when
 * others take them over.
 */
async function lateTarget(ends: Endpoints, io: Io): Promise<void> {
  const { source, target } = pairOf('shared');
  const late = async (): Promise<typeof target> => {
    await new Promise((resolve) => setTimeout(resolve, LATE_MS));
    return target;
  };
  await move(ends, io, { blocks: late }, { blocks: [{ id: 'heap', source }] });
  sameBytes(bytesOf(target), bytesOf(source), 'memory');
}

/** What has come is compared by the launcher. */
async function toElsewhere({ httpTarget }: Io): Promise<void> {
  const { source, zeros } = pairOf('unshared');
  const { ram } = await send({ uri: httpTarget!, blocks: [{ id: 'heap', source }] });
  equal(ram.duplicate, zeros, 'zero pages');
}

async function progress(io: Io): Promise<void> {
  const { source, target } = pairOf('unshared');
  const { incoming, to } = await STREAMS.open({ blocks: { heap: target } }, io);
  const sending = send({ ...to, blocks: [{ id: 'heap', source }] });
  const snapshots: MigrationStatistics[] = [];
  for await (const snapshot of sending.progress) snapshots.push(snapshot);
  equal(snapshots.at(-1), await sending, 'the last one');
  await incoming.completed;
}

async function channelCounts(io: Io): Promise<void> {
  for (const channels of [1, 5]) await memories(STREAMS, io, 'unshared', { channels });
}

async function deviceState(io: Io): Promise<void> {
  const { source, target } = pairOf('unshared');
  const states: DeviceState[] = Array.from({ length: 5 }, (_, instanceId) => ({
    idstr: 'a device',
    instanceId,
    data: new Uint8Array(1000 * instanceId + 1).fill(instanceId),
  }));
  const seen: { instanceId: number; length: number; whole: boolean; last: boolean }[] = [];
  const onDeviceState = ({ instanceId, data }: DeviceState): void => {
    seen.push({
      instanceId,
      length: data.length,
      whole: data.every((byte) => byte === instanceId),
      last: bytesOf(target).at(-1) === bytesOf(source).at(-1),
    });
  };
  await move(
    STREAMS,
    io,
    { blocks: { heap: target }, onDeviceState },
    { blocks: [{ id: 'heap', source }], deviceState: states },
  );
  const expected = states.map(({ instanceId, data }) => ({
    instanceId,
    length: data.length,
    whole: true,
    last: true,
  }));
  equal(
    seen.sort((a, b) => a.instanceId - b.instanceId),
    expected,
    'device state',
  );
}

async function blocks(io: Io): Promise<void> {
  const sources = [1, 3, 2].map((pages, index) => {
    const memory = newMemory('unshared', pages);
    fill(memory, index + 5);
    return { id: `block ${index}`, source: memory };
  });
  const targets = new Map<string, Uint8Array>();
  const choose = ({ id, usedLength }: { id: string; usedLength: number }): Uint8Array => {
    const bytes = new Uint8Array(usedLength);
    targets.set(id, bytes);
    return bytes;
  };
  await move(STREAMS, io, { blocks: choose }, { blocks: sources });
  equal(
    [...targets.keys()],
    sources.map(({ id }) => id),
    'blocks',
  );
  for (const { id, source } of sources) sameBytes(targets.get(id)!, bytesOf(source), id);
}

async function images(io: Io): Promise<void> {
  const { source, target } = pairOf('unshared');
  const [first, second] = [`${io.folder}/first.img`, `${io.folder}/second.img`];
  await send({ uri: `file:${first}`, blocks: [{ id: 'heap', source }] });
  await move(STREAMS, io, { image: second }, { image: first });
  await (await receive({ uri: `file:${second}`, blocks: { heap: target } })).completed;
  sameBytes(bytesOf(target), bytesOf(source), 'what was loaded from an image that was received');
}

/**
 * A module of Node's, which runtimes with files have. A builder for the others does not see its
 * name.
 */
async function builtin<Module>(name: string): Promise<Module> {
  return (await import(name)) as Module;
}

async function changingFiles(io: Io): Promise<void> {
  const fs = await builtin<typeof import('node:fs')>('node:fs');
  const { source } = pairOf('unshared');
  const path = `${io.folder}/changing`;
  const blocks = [{ id: 'heap', source: { path } }];
  const changes: [string, () => void][] = [
    ['written to', () => fs.writeFileSync(path, 'x', { flag: 'r+' })],
    ['cut short', () => fs.truncateSync(path, 5_000)],
  ];
  for (const [how, change] of changes) {
    for (const sent of [{ blocks }, { image: path }]) {
      if ('image' in sent)
        await send({ uri: `file:${path}`, blocks: [{ id: 'heap', source }], force: true });
      else fs.writeFileSync(path, bytesOf(source));
      // It was last written long ago, and changes once it is open.
      fs.utimesSync(path, 1_000, 1_000);
      let done = false;
      const onProgress = (): void => {
        if (!done) change();
        done = true;
      };
      const { incoming, to } = await STREAMS.open(
        { blocks: { heap: pairOf('unshared').target } },
        io,
      );
      const [atSource] = await Promise.all([
        errorOf(send({ ...to, ...sent, onProgress })),
        errorOf(incoming.completed),
      ]);
      const what = `${'image' in sent ? 'an image' : 'a file'} that is ${how}`;
      equal(
        `${atSource.code} ${atSource.message.includes(path)}`,
        'ERR_IO true',
        `${what}: code at the source, and its name`,
      );
    }
  }
}

async function noFile(io: Io): Promise<void> {
  const { execFileSync } = await builtin<typeof import('node:child_process')>('node:child_process');
  const { source } = pairOf('unshared');
  const path = `${io.folder}/pipe`;
  execFileSync('mkfifo', [path]);
  await fails(send({ connect: () => streamPairs()[0], image: path }), 'ERR_IO', 'an image');
  await fails(
    send({ connect: () => streamPairs()[0], blocks: [{ id: 'heap', source: { path } }] }),
    'ERR_IO',
    'a block',
  );
  await fails(
    send({ uri: `file:${path}`, blocks: [{ id: 'heap', source }], force: true }),
    'ERR_IO',
    'an output',
  );
  const incoming = await receive({
    uri: `file:${path}`,
    blocks: { heap: pairOf('unshared').target },
  });
  await fails(incoming.completed, 'ERR_IO', 'an image to load');
}
