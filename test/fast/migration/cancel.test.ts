import { getEventListeners } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ConnectionQueue, MultifdError, receive, send, type BlockTarget } from 'multifd';
import { describe, expect, it } from 'vitest';
import { Source, Target, Wire } from '../../support/peer.ts';
import { intoQueue, streamEnds } from '../../support/transport.ts';
import {
  be32,
  command,
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  openReturnPath,
  part,
  ramPacket,
  shut,
  start,
  syncPacket,
} from '../../support/wire.ts';
import {
  errorOf,
  LAUNCHERS,
  leavingNothing,
  PAGE,
  pageOf,
  withFolder,
} from '../../support/migration.ts';

const PAGES = 64;
const BLOCKS = [{ id: 'ram', length: PAGES * PAGE }];

/** A promise, and what resolves it. */
class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => {};

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}

interface Reached {
  /** Closes every connection that the test has. */
  vanish(): Promise<void>;
}

interface Stage {
  stage: string;
  /**
   * Brings the target to the stage, and waits until it is there. `asked` opens when the target asks
   * where its block goes.
   */
  reach: (uri: string, asked: Promise<void>) => Promise<Reached>;
  /** What the target says when the source vanishes there; undefined where there is none yet. */
  vanished: string | undefined;
}

/** Demands the error of what `signal` has ended. */
function expectCancelledBy(signal: AbortSignal, error: MultifdError): void {
  expect(error).toMatchObject({ code: 'ERR_CANCELLED', name: 'AbortError' });
  expect(error.cause).toBe(signal.reason);
  expect(signal.reason).toMatchObject({ name: 'AbortError' });
  // As it is after its way through another thread, or through JSON.
  expect(MultifdError.fromRecord(error.toRecord()).name).toBe('AbortError');
}

const nobody: Reached = { vanish: async () => {} };

async function pinged(source: Source): Promise<void> {
  source.main.put(openReturnPath(), command(2, be32(1)));
  await source.main.take(8);
}

async function connected(uri: string, channels: number): Promise<Source & Reached> {
  const source = await Source.connect(uri, channels);
  source.main.put(header());
  await pinged(source);
  return Object.assign(source, { vanish: () => source.close() });
}

async function inSync(uri: string, asked: Promise<void>): Promise<Source & Reached> {
  const source = await connected(uri, 2);
  source.main.put(start(BLOCKS), flush(), endOfSection());
  // One channel's packet tells how long a page is.
  source.channels[0]!.put(syncPacket());
  await asked;
  return source;
}

async function inRound(uri: string, asked: Promise<void>): Promise<Source & Reached> {
  const source = await inSync(uri, asked);
  source.channels[1]!.put(syncPacket());
  await pinged(source);
  return source;
}

const STAGES: Stage[] = [
  { stage: 'before anyone has come', reach: async () => nobody, vanished: undefined },
  {
    stage: 'with a connection that is yet to be rejected',
    reach: async (uri) => {
      const wire = await Wire.open(uri);
      wire.put(Uint8Array.of(0x11, 0x22));
      return { vanish: async () => (wire.destroy(), wire.closed) };
    },
    vanished: undefined,
  },
  {
    stage: 'with the main channel alone',
    reach: (uri) => connected(uri, 0),
    vanished: 'ERR_PEER_CLOSED',
  },
  {
    stage: 'with a channel missing',
    reach: (uri) => connected(uri, 1),
    vanished: 'ERR_PEER_CLOSED',
  },
  {
    stage: 'with all channels there',
    reach: (uri) => connected(uri, 2),
    vanished: 'ERR_PEER_CLOSED',
  },
  { stage: 'waiting for the first sync', reach: inSync, vanished: 'ERR_PEER_CLOSED' },
  { stage: 'in a round', reach: inRound, vanished: 'ERR_PEER_CLOSED' },
  {
    stage: 'in the middle of a packet',
    reach: async (uri, asked) => {
      const source = await inRound(uri, asked);
      await source.channels[1]!.putAll(
        ramPacket({ block: 'ram', normal: [0, PAGE] }, concat(pageOf(1), pageOf(2))).subarray(
          0,
          3000,
        ),
      );
      return source;
    },
    vanished: 'ERR_PEER_CLOSED',
  },
  {
    stage: 'with one channel synced and the other not',
    reach: async (uri, asked) => {
      const source = await inRound(uri, asked);
      source.main.put(part(), flush(), endOfSection());
      await source.channels[0]!.putAll(syncPacket());
      return source;
    },
    vanished: 'ERR_PEER_CLOSED',
  },
  {
    stage: 'in the device sections',
    reach: async (uri, asked) => {
      const source = await inRound(uri, asked);
      source.toAll(syncPacket());
      await source.main.putAll(end(), flush(), endOfSection(), Uint8Array.of(4), be32(9));
      return source;
    },
    vanished: 'ERR_PEER_CLOSED',
  },
];

describe.each(LAUNCHERS)('a target, $name', ({ inline }) => {
  it.each(STAGES)('is cancelled $stage', async ({ reach }) => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const cancel = new AbortController();
        const asked = new Gate();
        const blocks = (): BlockTarget => (asked.open(), new SharedArrayBuffer(PAGES * PAGE));
        const incoming = await receive({
          uri: `unix:${join(folder, 'socket')}`,
          blocks,
          inline,
          signal: cancel.signal,
        });
        const source = await reach(incoming.uri, asked.opened);
        cancel.abort();
        // The source hears of it, and hangs up.
        const error = errorOf(incoming.completed);
        await source.vanish();
        expectCancelledBy(cancel.signal, await error);
        expect(getEventListeners(cancel.signal, 'abort')).toEqual([]);
      }),
    );
  });

  it.each(STAGES.filter(({ vanished }) => vanished !== undefined))(
    'loses its source $stage',
    async ({ reach, vanished }) => {
      await withFolder((folder) =>
        leavingNothing(async () => {
          const { signal } = new AbortController();
          const asked = new Gate();
          const blocks = (): BlockTarget => (asked.open(), new SharedArrayBuffer(PAGES * PAGE));
          const incoming = await receive({
            uri: `unix:${join(folder, 'socket')}`,
            blocks,
            inline,
            signal,
          });
          const source = await reach(incoming.uri, asked.opened);
          await source.vanish();
          expect((await errorOf(incoming.completed)).code).toBe(vanished);
          expect(getEventListeners(signal, 'abort')).toEqual([]);
        }),
      );
    },
  );

  it('is cancelled while its image fills: nothing of it stays, and the source is told', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const cancel = new AbortController();
        const image = join(folder, 'image');
        const incoming = await receive({
          uri: 'tcp:127.0.0.1:0',
          image,
          inline,
          signal: cancel.signal,
        });
        const source = await Source.connect(incoming.uri, 2);
        source.main.put(header());
        await pinged(source);
        source.main.put(start(BLOCKS), flush(), endOfSection());
        source.toAll(syncPacket(), ramPacket({ block: 'ram', normal: [0] }, pageOf(1)));
        await pinged(source);
        cancel.abort();
        expect(Uint8Array.from(await source.main.take(8))).toEqual(shut(1));
        await source.close();
        expectCancelledBy(cancel.signal, await errorOf(incoming.completed));
        expect(await readdir(folder)).toEqual([]);
      }),
    );
  });

  it('that is done is not cancelled any more', async () => {
    await leavingNothing(async () => {
      const cancel = new AbortController();
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { ram: new SharedArrayBuffer(PAGES * PAGE) },
        inline,
        signal: cancel.signal,
      });
      const source = await Source.connect(incoming.uri, 2);
      source.main.put(
        header(),
        start(BLOCKS),
        flush(),
        endOfSection(),
        end(),
        endOfSection(),
        endOfFile(),
      );
      source.toAll(syncPacket());
      await incoming.completed;
      cancel.abort();
      expect(await incoming.completed).toMatchObject({
        blocks: [{ id: 'ram', 'used-length': PAGES * PAGE }],
      });
      await source.close();
    });
  });
});

const OUTGOING: { stage: string; reach: (target: Target) => Promise<void> }[] = [
  { stage: 'when its main channel stands', reach: async (target) => void (await target.accept()) },
  {
    stage: 'when it has said who it is',
    reach: async (target) => void (await (await target.accept()).take(header().length)),
  },
  {
    stage: 'when one of its channels stands',
    reach: async (target) => {
      await target.accept();
      await (await target.accept()).take(64);
    },
  },
  {
    stage: 'when its channels have said who they are',
    reach: async (target) => {
      await target.accept();
      await target.channels(2);
    },
  },
  {
    stage: 'in the middle of its pages, which nobody reads',
    reach: async (target) => {
      await target.accept();
      const [first] = await target.channels(2);
      await first!.take(1344 + 100_000);
    },
  },
  {
    stage: 'when everything is sent, and the target has not said yet that it has it',
    reach: async (target) => void (await everything(target)),
  },
];

/** Takes all that a source of 4 MiB has to say; its main channel. */
async function everything(target: Target): Promise<Wire> {
  const main = await target.accept();
  for (const channel of await target.channels(2)) channel.ignore();
  const rounds = concat(
    part(),
    flush(),
    endOfSection(),
    end(),
    flush(),
    endOfSection(),
    endOfFile(),
  );
  await main.take(
    concat(
      header(),
      openReturnPath(),
      start([{ id: 'ram', length: 4 << 20 }]),
      flush(),
      endOfSection(),
      rounds,
    ).length,
  );
  return main;
}

describe.each(LAUNCHERS)('a source, $name', ({ inline }) => {
  const blocks = [{ id: 'ram', source: new Uint8Array(4 << 20).fill(1) }];

  it.each(OUTGOING)('is cancelled $stage', async ({ reach }) => {
    await leavingNothing(async () => {
      const cancel = new AbortController();
      const target = await Target.listen();
      const error = errorOf(send({ uri: target.uri, blocks, inline, signal: cancel.signal }));
      await reach(target);
      cancel.abort();
      expectCancelledBy(cancel.signal, await error);
      expect(getEventListeners(cancel.signal, 'abort')).toEqual([]);
      await target.close();
    });
  });

  it('is cancelled while it keeps below its bandwidth: at once, not when it may go on', async () => {
    await leavingNothing(async () => {
      const cancel = new AbortController();
      const target = await Target.listen();
      const looks = new Gate();
      let count = 0;
      const onProgress = (): void => {
        if (++count === 8) looks.open();
      };
      // The first page is due in an hour, for what the main channel has said already; the time-out
      // does not count that as silence.
      const error = errorOf(
        send({
          uri: target.uri,
          blocks,
          inline,
          signal: cancel.signal,
          maxBandwidth: 1,
          timeout: 1000,
          onProgress,
        }),
      );
      await target.accept();
      await target.channels(2);
      await looks.opened;
      cancel.abort();
      expectCancelledBy(cancel.signal, await error);
      await target.close();
    });
  });

  it('that is done is not cancelled any more', async () => {
    await leavingNothing(async () => {
      const cancel = new AbortController();
      const target = await Target.listen();
      const sending = send({ uri: target.uri, blocks, inline, signal: cancel.signal });
      const main = await everything(target);
      main.put(shut(0));
      await sending;
      cancel.abort();
      expect(await sending).toMatchObject({ ram: { remaining: 0 } });
      expect(getEventListeners(cancel.signal, 'abort')).toEqual([]);
      await target.close();
    });
  });

  it('over streams of this program is cancelled for itself: its target has lost its source', async () => {
    await leavingNothing(async () => {
      const cancel = new AbortController();
      const inbox = new ConnectionQueue();
      const ram = new Uint8Array(PAGES * PAGE);
      const incoming = await receive({
        inbox,
        inline,
        blocks: () => {
          cancel.abort();
          return ram;
        },
      });
      const [atTarget, atSource] = await Promise.all([
        errorOf(incoming.completed),
        errorOf(
          send({
            connect: intoQueue(streamEnds, inbox),
            blocks: [{ id: 'ram', source: new Uint8Array(PAGES * PAGE) }],
            inline,
            signal: cancel.signal,
          }),
        ),
      ]);
      expectCancelledBy(cancel.signal, atSource);
      expect(atTarget.code).toBe('ERR_PEER_CLOSED');
      inbox.close();
    });
  });

  it('into a file is cancelled between two pages, and leaves none', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const cancel = new AbortController();
        const source = {
          byteLength: 4 << 20,
          read(offset: number, into: Uint8Array) {
            into.fill(1);
            if (offset > 2 << 20) cancel.abort();
          },
        };
        const error = await errorOf(
          send({
            uri: `file:${join(folder, 'image')}`,
            blocks: [{ id: 'ram', source }],
            inline,
            signal: cancel.signal,
          }),
        );
        expectCancelledBy(cancel.signal, error);
        expect(await readdir(folder)).toEqual([]);
        expect(getEventListeners(cancel.signal, 'abort')).toEqual([]);
      }),
    );
  });
});
