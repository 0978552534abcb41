import { deflateSync, constants } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { Source, Wire } from '../../support/peer.ts';
import {
  concat,
  devicePacket,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  initialPacket,
  openReturnPath,
  part,
  ramHeader,
  ramPacket,
  start,
  SYNC,
  syncPacket,
  ZLIB,
} from '../../support/wire.ts';
import {
  inParallel,
  LAUNCHERS,
  leavingNothing,
  PAGE,
  pageOf,
  receiving,
  refusal,
} from '../../support/migration.ts';

const BLOCKS = [{ id: 'ram', length: 64 * PAGE }];
const INITIAL = 64;

/** A main channel that waits for the channels' first sync. */
const UP_TO_SYNC = concat(header(), start(BLOCKS), flush(), endOfSection());

/** The connections of a source, one of which breaks off. */
async function cutChannel(uri: string, channel: Uint8Array, cut: number): Promise<Source> {
  const source = await Source.connect(uri, 2);
  source.main.put(UP_TO_SYNC);
  source.channels[0]!.put(syncPacket());
  source.channels[1]!.put(channel.subarray(0, cut));
  source.channels[1]!.end();
  return source;
}

/** Raw pages that lie apart, so that a page can break off in any of several runs. */
const RAW = concat(
  ramPacket({ block: 'ram', normal: [0, 3 * PAGE], zero: [PAGE] }, concat(pageOf(1), pageOf(2))),
  ramPacket({ block: 'ram', flags: SYNC, normal: [5 * PAGE] }, pageOf(3)),
);

/** All of a header of raw pages and of what surrounds it, and some places in the pages. */
const RAW_CUTS = [
  ...Array.from({ length: 1344 }, (_, at) => at),
  ...[
    1344,
    1345,
    1344 + PAGE - 1,
    1344 + PAGE,
    1344 + PAGE + 1,
    1344 + 2 * PAGE - 1,
    1344 + 2 * PAGE,
    1345 + 2 * PAGE,
  ],
  ...[275, 276, 277, 1343, 1344, 1345, 1344 + PAGE - 1].map((at) => 1344 + 2 * PAGE + at),
];

/** Short packets, so that really every byte of them can be the last. */
const SHORT = (() => {
  const pages = deflateSync(concat(pageOf(1), pageOf(2)), { finishFlush: constants.Z_SYNC_FLUSH });
  return concat(
    ramHeader({ flags: ZLIB, block: 'ram', normal: [0, PAGE], size: pages.length }),
    pages,
    devicePacket('state', 0, pageOf(9, 20)),
    ramHeader({ flags: ZLIB | SYNC, block: 'ram', zero: [2 * PAGE] }),
  );
})();

describe('a channel that breaks off', () => {
  it.each([
    [
      'compressed pages, device state and zero pages, at every byte',
      'zlib',
      SHORT,
      Array.from(SHORT.keys()),
    ],
    ['raw pages, at every byte of a header and around the pages', 'none', RAW, RAW_CUTS],
  ] as const)('%s', async (_, compression, packets, cuts) => {
    await leavingNothing(() =>
      inParallel(
        cuts.map((cut) => async () => {
          const { error } = await receiving({ compression }, (uri) =>
            cutChannel(uri, packets, cut),
          );
          expect({
            cut,
            code: error?.code,
            channel: error?.channel,
            offset: error?.offset,
          }).toEqual({ cut, code: 'ERR_PEER_CLOSED', channel: 1, offset: INITIAL + cut });
        }),
      ),
    );
  });

  it('in a worker', async () => {
    await leavingNothing(async () => {
      for (const cut of [
        0,
        1,
        275,
        276,
        1343,
        1344,
        1344 + PAGE + 1,
        1344 + 2 * PAGE,
        RAW.length - 1,
      ]) {
        const { error } = await receiving({ inline: false }, (uri) => cutChannel(uri, RAW, cut));
        expect({ cut, code: error?.code, channel: error?.channel, offset: error?.offset }).toEqual({
          cut,
          code: 'ERR_PEER_CLOSED',
          channel: 1,
          offset: INITIAL + cut,
        });
      }
    });
  });

  it('in its initial packet, at every byte: it is rejected, and the channel is missed', async () => {
    await leavingNothing(() =>
      inParallel(
        Array.from({ length: INITIAL }, (_, cut) => async () => {
          const { error, rejected } = await receiving({ timeout: 300 }, async (uri) => {
            const source = await Source.connect(uri, 1);
            source.main.put(UP_TO_SYNC);
            const wire = await Wire.open(uri);
            wire.put(initialPacket(1).subarray(0, cut));
            wire.end();
            return {
              close: async () =>
                void (await Promise.all([source.close(), (wire.destroy(), wire.closed)])),
            };
          });
          expect(error?.code).toBe('ERR_CHANNEL_COUNT');
          expect(error?.message).toContain('1 of 2 channels');
          expect(rejected).toEqual([expect.stringContaining('ended before it said what it is')]);
        }),
        INITIAL,
      ),
    );
  });
});

describe('a main channel that breaks off', () => {
  const main = concat(
    header('pc-q35-10.0'),
    openReturnPath(),
    start(BLOCKS),
    flush(),
    endOfSection(),
    part(),
    flush(),
    endOfSection(),
    end(),
    flush(),
    endOfSection(),
    endOfFile(),
  );
  const rounds = concat(
    syncPacket(),
    ramPacket({ block: 'ram', normal: [0] }, pageOf(1)),
    syncPacket(),
    syncPacket(),
  );

  it('at every byte', async () => {
    await leavingNothing(() =>
      inParallel(
        Array.from({ length: main.length - 4 }, (_, at) => at + 4).map((cut) => async () => {
          const error = await refusal({}, (source) => {
            source.toAll(rounds);
            source.main.put(main.subarray(0, cut));
            source.main.end();
          });
          expect({ cut, code: error.code, channel: error.channel, offset: error.offset }).toEqual({
            cut,
            code: 'ERR_PEER_CLOSED',
            channel: 'main',
            offset: cut,
          });
        }),
      ),
    );
  });

  it.each(LAUNCHERS)('by a reset, with $name', async ({ inline }) => {
    await leavingNothing(async () => {
      let asked: () => void;
      const isAsked = new Promise<void>((resolve) => {
        asked = resolve;
      });
      const blocks = (): Uint8Array => {
        asked();
        return new Uint8Array(new SharedArrayBuffer(64 * PAGE));
      };
      const error = await refusal({ inline, uri: 'tcp:127.0.0.1:0', blocks }, async (source) => {
        source.main.put(UP_TO_SYNC);
        source.channels[0]!.put(syncPacket());
        // By now all of it has been read, and the target waits for the other channel to sync.
        await isAsked;
        source.main.reset();
      });
      expect(error).toMatchObject({
        code: 'ERR_PEER_CLOSED',
        channel: 'main',
        offset: UP_TO_SYNC.length,
      });
    });
  });

  it('in the first four bytes: it is rejected, and the main channel is missed', async () => {
    await leavingNothing(() =>
      inParallel(
        [0, 1, 2, 3].map((cut) => async () => {
          const { error, rejected } = await receiving({ timeout: 300 }, async (uri) => {
            const source = await Source.connect(uri, 2);
            source.main.put(main.subarray(0, cut));
            source.main.end();
            return source;
          });
          expect(error).toMatchObject({ code: 'ERR_CHANNEL_COUNT', channel: 'main' });
          expect(rejected).toEqual([expect.stringContaining('ended before it said what it is')]);
        }),
      ),
    );
  });

  it('at no byte at all completes', async () => {
    const memory = new Uint8Array(64 * PAGE);
    await leavingNothing(async () => {
      const { error } = await receiving({ blocks: { ram: memory } }, async (uri) => {
        const source = await Source.connect(uri, 2);
        source.toAll(rounds);
        source.main.put(main);
        return source;
      });
      expect(error).toBeUndefined();
    });
    expect(memory.subarray(0, PAGE)).toEqual(pageOf(1));
  });
});
