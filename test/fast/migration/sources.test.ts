import { constants, createDeflate } from 'node:zlib';
import { join } from 'node:path';
import { extractBlock, receive, type PageSink } from 'multifd';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { Source } from '../../support/peer.ts';
import { Random, SEED } from '../../support/random.ts';
import {
  be32,
  command,
  concat,
  devicePacket,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  normalPage,
  openReturnPath,
  part,
  patched,
  ramHeader,
  ramPacket,
  shut,
  start,
  SYNC,
  syncPacket,
  zeroPage,
  ZLIB,
} from '../../support/wire.ts';
import {
  LAUNCHERS,
  leavingNothing,
  PAGE,
  pageOf,
  receiving,
  withFolder,
} from '../../support/migration.ts';

const PAGES = 32;
const LENGTH = PAGES * PAGE;
const BLOCKS = [{ id: 'ram', length: LENGTH }];

function sharedMemory(): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(LENGTH)).fill(0xcc);
}

/** Which byte each page is filled with; NaN for a page of several. */
function fills(memory: Uint8Array): number[] {
  return Array.from({ length: memory.length / PAGE }, (_, page) => {
    const bytes = memory.subarray(page * PAGE, (page + 1) * PAGE);
    return bytes.every((byte) => byte === bytes[0]) ? bytes[0]! : Number.NaN;
  });
}

/**
 * A SYNC packet before QEMU 9: the size of the payload that an earlier packet had, and none that
 * follows.
 */
const staleSync = (): Uint8Array => ramHeader({ flags: SYNC, size: 524288 });

describe.each(LAUNCHERS)('a source, to $name', ({ inline }) => {
  /** Receives what the script sends on two channels, and gives the fills of the memory's pages. */
  async function received(script: (source: Source) => void | Promise<void>): Promise<number[]> {
    const memory = sharedMemory();
    await leavingNothing(async () => {
      const { error } = await receiving({ inline, blocks: { ram: memory } }, async (uri) => {
        const source = await Source.connect(uri, 2);
        await script(source);
        return source;
      });
      expect(error).toBeUndefined();
    });
    return fills(memory);
  }

  /** What the given pages are filled with; all others have to be as they were. */
  function expectPages(actual: readonly number[], pages: Readonly<Record<number, number>>): void {
    expect(actual).toEqual(Array.from({ length: PAGES }, (_, page) => pages[page] ?? 0xcc));
  }

  it('before QEMU 9: a sync per section, stale sizes, zero pages and pages on the main channel', async () => {
    const pages = await received(async (source) => {
      source.main.put(header('pc-i440fx-7.2'), start(BLOCKS), endOfSection());
      source.toAll(staleSync());
      source.main.put(
        part(),
        zeroPage(0, 'ram'),
        zeroPage(PAGE),
        normalPage(2 * PAGE, pageOf(2), 'ram'),
        normalPage(3 * PAGE, pageOf(3)),
        zeroPage(4 * PAGE),
        endOfSection(),
      );
      source.channels[0]!.put(
        ramPacket({ block: 'ram', normal: [5 * PAGE, 7 * PAGE] }, concat(pageOf(5), pageOf(7))),
        staleSync(),
      );
      // The last packet of a round brings pages along with its SYNC.
      source.channels[1]!.put(
        ramPacket({ block: 'ram', normal: [6 * PAGE], flags: SYNC }, pageOf(6)),
      );
      source.main.put(end(), endOfSection(), endOfFile());
      source.toAll(staleSync());
    });
    expectPages(pages, { 0: 0, 1: 0, 2: 2, 3: 3, 4: 0, 5: 5, 6: 6, 7: 7 });
  });

  it('from QEMU 9 on: a sync per round that comes alone, zero pages in packets', async () => {
    const pages = await received((source) => {
      source.main.put(header('pc-q35-10.0'), start(BLOCKS), flush(), endOfSection());
      source.main.put(
        part(),
        endOfSection(),
        part(),
        flush(),
        endOfSection(),
        end(),
        flush(),
        endOfSection(),
        endOfFile(),
      );
      source.toAll(syncPacket());
      source.channels[0]!.put(
        ramPacket({ block: 'ram', normal: [PAGE], zero: [0, 3 * PAGE] }, pageOf(1)),
        syncPacket(),
      );
      source.channels[1]!.put(
        ramPacket({ block: 'ram', zero: [5 * PAGE] }),
        ramPacket({ block: 'ram', normal: [4 * PAGE] }, pageOf(4)),
        syncPacket(),
      );
      // As QEMU 10 leaves its SYNC packets: no room for pages either.
      source.toAll(patched(syncPacket(), 12, be32(0)));
    });
    expectPages(pages, { 0: 0, 1: 1, 3: 0, 4: 4, 5: 0 });
  });

  it(
    'a page that is zero in a later round, on a channel or on the main channel, and one that ' +
      'is not any more',
    async () => {
      const pages = await received((source) => {
        const round = concat(part(), flush(), endOfSection());
        source.main.put(
          header(),
          start(BLOCKS),
          flush(),
          endOfSection(),
          round,
          part(),
          zeroPage(PAGE, 'ram'),
          flush(),
          endOfSection(),
          round,
          end(),
          endOfSection(),
          endOfFile(),
        );
        source.toAll(syncPacket());
        source.channels[0]!.put(
          ramPacket(
            { block: 'ram', normal: [0, PAGE, 2 * PAGE], zero: [3 * PAGE] },
            concat(pageOf(1), pageOf(1), pageOf(1)),
          ),
          syncPacket(),
        );
        source.channels[1]!.put(syncPacket());
        source.channels[1]!.put(ramPacket({ block: 'ram', zero: [0] }), syncPacket());
        source.channels[0]!.put(
          ramPacket({ block: 'ram', normal: [3 * PAGE] }, pageOf(2)),
          syncPacket(),
        );
        source.channels[0]!.put(ramPacket({ block: 'ram', normal: [0] }, pageOf(3)), syncPacket());
        source.channels[1]!.put(syncPacket());
      });
      expectPages(pages, { 0: 3, 1: 0, 2: 1, 3: 2 });
    },
  );

  it('that sends its channels out of step: no page is applied before all of the round before', async () => {
    const pages = await received(async (source) => {
      source.main.put(header(), openReturnPath());
      // All of the second round is there on one channel before anything of the first is on the
      // other.
      source.channels[1]!.put(
        syncPacket(),
        syncPacket(),
        ramPacket({ block: 'ram', normal: [0], zero: [PAGE] }, pageOf(2)),
        syncPacket(),
      );
      source.main.put(
        start(BLOCKS),
        flush(),
        endOfSection(),
        part(),
        flush(),
        endOfSection(),
        part(),
        zeroPage(2 * PAGE, 'ram'),
        flush(),
        endOfSection(),
      );
      source.channels[0]!.put(syncPacket());
      await source.channels[1]!.putAll(
        ramPacket({ block: 'ram', normal: [5 * PAGE] }, pageOf(5)),
        syncPacket(),
      );
      await source.channels[0]!.putAll(
        ramPacket(
          { block: 'ram', normal: [0, PAGE, 2 * PAGE] },
          concat(pageOf(1), pageOf(1), pageOf(1)),
        ),
        syncPacket(),
        syncPacket(),
        syncPacket(),
      );
      source.main.put(end(), flush(), endOfSection(), endOfFile());
      expect(Uint8Array.from(await source.main.take(8))).toEqual(shut(0));
    });
    expectPages(pages, { 0: 2, 1: 0, 2: 0, 5: 5 });
  });

  it('with a return path hears that everything is there; without one it just hangs up', async () => {
    const script = (source: Source): void => {
      source.main.put(
        start(BLOCKS),
        flush(),
        endOfSection(),
        part(),
        flush(),
        endOfSection(),
        end(),
        endOfSection(),
        endOfFile(),
      );
      source.toAll(syncPacket(), ramPacket({ block: 'ram', normal: [0] }, pageOf(1)), syncPacket());
    };
    for (const returnPath of [true, false]) {
      const pages = await received(async (source) => {
        source.main.put(header(), ...(returnPath ? [openReturnPath(), command(11)] : []));
        script(source);
        for (const channel of source.channels) channel.end();
        if (returnPath) expect(Uint8Array.from(await source.main.take(8))).toEqual(shut(0));
        else source.main.end();
      });
      expectPages(pages, { 0: 1 });
    }
  });

  it('whose main channel comes last', async () => {
    const memory = sharedMemory();
    await leavingNothing(async () => {
      const { error } = await receiving({ inline, blocks: { ram: memory } }, async (uri) => {
        const source = await Source.connect(uri, 2);
        // It was connected first, but what it is shows only by what it says.
        await Promise.all(
          source.channels.map((channel) =>
            channel.putAll(
              syncPacket(),
              ramPacket({ block: 'ram', normal: [0] }, pageOf(1)),
              syncPacket(),
            ),
          ),
        );
        source.main.put(
          header(),
          start(BLOCKS),
          flush(),
          endOfSection(),
          part(),
          flush(),
          endOfSection(),
          end(),
          endOfSection(),
          endOfFile(),
        );
        return source;
      });
      expect(error).toBeUndefined();
    });
    expectPages(fills(memory), { 0: 1 });
  });

  it('that goes on behind its last sync, as nobody reads any more', async () => {
    const pages = await received((source) => {
      source.main.put(
        header(),
        start(BLOCKS),
        flush(),
        endOfSection(),
        end(),
        flush(),
        endOfSection(),
        endOfFile(),
      );
      source.toAll(syncPacket(), syncPacket(), staleSync());
    });
    expectPages(pages, {});
  });
});

describe("a user's page sink", () => {
  /** A sink that takes its time over everything, and notices when it is called again meanwhile. */
  function slowSink(memory: Uint8Array): { sink: PageSink; overlaps: () => number } {
    let busy = false;
    let overlaps = 0;
    const slowly = async (work: () => void): Promise<void> => {
      if (busy) overlaps++;
      busy = true;
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      work();
      busy = false;
    };
    return {
      overlaps: () => overlaps,
      sink: {
        write: (offset, pages) => slowly(() => memory.set(pages, offset)),
        zero: (offset, length) => slowly(() => memory.fill(0, offset, offset + length)),
      },
    };
  }

  it('is waited for, whichever way a page comes, before the round ends', async () => {
    const memory = sharedMemory();
    const { sink, overlaps } = slowSink(memory);
    await leavingNothing(async () => {
      const { error } = await receiving({ channels: 1, blocks: { ram: sink } }, async (uri) => {
        const source = await Source.connect(uri, 1);
        source.main.put(header('pc-i440fx-7.2'), start(BLOCKS), endOfSection());
        source.toAll(syncPacket());
        const zeros = Array.from({ length: PAGES - 1 }, (_, page) => zeroPage((page + 1) * PAGE));
        source.main.put(part(), zeroPage(0, 'ram'), ...zeros, endOfSection());
        source.toAll(syncPacket());
        source.main.put(
          part(),
          normalPage(PAGE, pageOf(1), 'ram'),
          normalPage(2 * PAGE, pageOf(2)),
          endOfSection(),
        );
        source.toAll(syncPacket());
        source.main.put(end(), endOfSection(), endOfFile());
        source.toAll(
          ramPacket({ block: 'ram', normal: [3 * PAGE], zero: [2 * PAGE] }, pageOf(3)),
          syncPacket(),
        );
        return source;
      });
      expect(error).toBeUndefined();
    });
    expect(overlaps()).toBe(0);
    expect(fills(memory)).toEqual(
      Array.from({ length: PAGES }, (_, page) => (page === 1 || page === 3 ? page : 0)),
    );
  });

  it.each(['write', 'zero'] as const)(
    'that throws in %s() ends the migration with what it threw',
    async (failing) => {
      const refuse = async (): Promise<never> => {
        throw new Error('the disk is full');
      };
      const accept = async (): Promise<void> => {};
      for (const where of ['main', 'channel']) {
        await leavingNothing(async () => {
          const sink = { write: accept, zero: accept, [failing]: refuse };
          const { error } = await receiving({ channels: 1, blocks: { ram: sink } }, async (uri) => {
            const source = await Source.connect(uri, 1);
            const page = failing === 'write' ? normalPage(0, pageOf(1), 'ram') : zeroPage(0, 'ram');
            source.main.put(
              header(),
              start(BLOCKS),
              flush(),
              endOfSection(),
              part(),
              ...(where === 'main' ? [page] : []),
              flush(),
              endOfSection(),
            );
            const packet =
              failing === 'write'
                ? ramPacket({ block: 'ram', normal: [0] }, pageOf(1))
                : ramPacket({ block: 'ram', zero: [0] });
            source.toAll(syncPacket(), ...(where === 'channel' ? [packet] : []));
            return source;
          });
          expect(error?.message).toContain('the disk is full');
          expect(error?.channel).toBe(where === 'main' ? undefined : 0);
        });
      }
    },
  );
});

describe(`a source that does anything it may (seed ${SEED})`, () => {
  const cases = LAUNCHERS.flatMap(({ name, inline }) =>
    (['none', 'zlib'] as const).flatMap((compression) =>
      ([PAGE, 65536] as const).map((pageSize) => ({ name, inline, compression, pageSize })),
    ),
  );

  it.each(cases)(
    'pages of $pageSize bytes, $compression, $name',
    async ({ inline, compression, pageSize }) => {
      const random = new Random(SEED ^ pageSize);
      const channels = 1 + random.below(4);
      const blocks = Array.from({ length: 1 + random.below(4) }, (_, n) => ({
        id: `block ${n}`,
        length: pageSize * (1 + random.below(20)),
      }));
      const expected = blocks.map(({ length }) => new Uint8Array(length));
      await withFolder((folder) =>
        leavingNothing(async () => {
          const image = join(folder, 'image');
          const incoming = await receive({
            uri: `unix:${join(folder, 'socket')}`,
            image,
            channels,
            compression,
            pageSize,
            inline,
          });
          const source = await Source.connect(incoming.uri, channels);
          const packers = source.channels.map(() => new Packer(compression));
          const pagesAlloc = 524288 / pageSize;
          const perRound = random.chance(0.5);
          const sync = (): Uint8Array => (perRound ? flush() : new Uint8Array(0));
          source.main.put(header(), openReturnPath(), start(blocks), sync(), endOfSection());
          source.toAll(syncPacket(pagesAlloc));
          for (let round = 0; round < 4; round++) {
            source.main.put(part());
            // Each page at most once in a round, in any order, on any channel or on the main one.
            const pages = blocks
              .flatMap(({ length }, index) =>
                Array.from({ length: length / pageSize }, (_, page) => ({
                  index,
                  offset: page * pageSize,
                })),
              )
              .filter(() => random.chance(0.7));
            while (pages.length > 0) {
              const { index } = pages[0]!;
              const ours = pages.filter((page) => page.index === index);
              const batch = Array.from(
                { length: Math.min(ours.length, 1 + random.below(pagesAlloc)) },
                () => ours.splice(random.below(ours.length), 1)[0]!,
              );
              pages.splice(0, pages.length, ...pages.filter((page) => !batch.includes(page)));
              const id = blocks[index]!.id;
              const normal = batch.filter(() => random.chance(0.6));
              const zero = batch.filter((page) => !normal.includes(page));
              const content = normal.map(() => random.bytes(pageSize));
              normal.forEach(({ offset }, i) => expected[index]!.set(content[i]!, offset));
              for (const { offset } of zero) expected[index]!.fill(0, offset, offset + pageSize);
              if (random.chance(0.3)) {
                source.main.put(
                  ...normal.map(({ offset }, i) => normalPage(offset, content[i]!, id)),
                  ...zero.map(({ offset }) => zeroPage(offset, id)),
                );
              } else {
                const channel = random.below(channels);
                const payload = await packers[channel]!.pack(concat(...content));
                const flags = compression === 'zlib' ? ZLIB : 0;
                source.channels[channel]!.put(
                  ramHeader({
                    flags,
                    block: id,
                    pagesAlloc,
                    normal: normal.map(({ offset }) => offset),
                    zero: zero.map(({ offset }) => offset),
                    size: payload.length,
                  }),
                  payload,
                );
              }
              if (random.chance(0.2))
                source.channels[random.below(channels)]!.put(
                  devicePacket('device', round, random.bytes(10)),
                );
            }
            source.toAll(syncPacket(pagesAlloc));
            source.main.put(sync(), endOfSection());
          }
          source.toAll(syncPacket(pagesAlloc));
          source.main.put(end(), sync(), endOfSection(), endOfFile());
          expect(Uint8Array.from(await source.main.take(8))).toEqual(shut(0));
          await incoming.completed;
          await source.close();
          for (const [index, { id, length }] of blocks.entries()) {
            const path = join(folder, `${index}`);
            expect(await extractBlock(image, id, path)).toBe(length);
            expect(Buffer.compare(await readFile(path), expected[index]!), `block ${index}`).toBe(
              0,
            );
          }
        }),
      );
    },
  );
});

/**
 * A channel's payloads: pages as they are, or one zlib stream that is flushed after each packet.
 */
class Packer {
  readonly #stream;
  #pieces: Uint8Array[] = [];

  constructor(compression: 'none' | 'zlib') {
    this.#stream =
      compression === 'zlib'
        ? createDeflate({ level: 1 }).on('data', (piece: Uint8Array) => this.#pieces.push(piece))
        : undefined;
  }

  async pack(pages: Uint8Array): Promise<Uint8Array> {
    const stream = this.#stream;
    if (stream === undefined || pages.length === 0) return pages;
    stream.write(pages);
    await new Promise<void>((resolve) => {
      stream.flush(constants.Z_SYNC_FLUSH, resolve);
    });
    return concat(...this.#pieces.splice(0));
  }
}
