import { join } from 'node:path';
import { type BlockTarget, receive, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { Source } from '../../support/peer.ts';
import {
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  normalPage,
  part,
  ramPacket,
  start,
  syncPacket,
  zeroPage,
} from '../../support/wire.ts';
import {
  LAUNCHERS,
  leavingNothing,
  PAGE,
  pageOf,
  receiving,
  withFolder,
} from '../../support/migration.ts';

const PAGES = 16;
const BLOCK = { id: 'ram', length: PAGES * PAGE };
/**
 * What the memory has although it is said to be zero: so it shows whether a page was left alone.
 */
const MARK = 0xee;

const KINDS: Record<string, () => { target: BlockTarget; bytes: Uint8Array }> = {
  'a shared memory': () => {
    const target = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    return { target, bytes: new Uint8Array(target.buffer) };
  },
  'a memory': () => {
    const target = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    return { target, bytes: new Uint8Array(target.buffer) };
  },
  'a SharedArrayBuffer': () => {
    const target = new SharedArrayBuffer(BLOCK.length);
    return { target, bytes: new Uint8Array(target) };
  },
  'an array': () => {
    const target = new Uint8Array(BLOCK.length);
    return { target, bytes: target };
  },
};

/** The first byte of each page. */
const firsts = (bytes: Uint8Array): number[] =>
  Array.from({ length: PAGES }, (_, page) => bytes[page * PAGE]!);

describe.each(LAUNCHERS)('memory that is said to be zero, with $name', ({ inline }) => {
  it.each(Object.entries(KINDS))(
    '%s: zero pages are left alone, but for those that the migration has written',
    async (_, make) => {
      const { target, bytes } = make();
      bytes.fill(MARK);
      await leavingNothing(async () => {
        const { error } = await receiving(
          { blocks: { ram: target }, zeroed: true, inline },
          async (uri) => {
            const source = await Source.connect(uri, 2);
            const [one, two] = source.channels;
            source.toAll(syncPacket());
            // Written: 0 to 2 by a channel, 5 by another, 6 on the main channel. Zero, but never
            // written: 3, 4, 7.
            one!.put(
              ramPacket(
                {
                  block: 'ram',
                  normal: [0, 1, 2].map((page) => page * PAGE),
                  zero: [3 * PAGE],
                  size: 3 * PAGE,
                },
                concat(pageOf(1), pageOf(2), pageOf(3)),
              ),
            );
            two!.put(
              ramPacket(
                { block: 'ram', normal: [5 * PAGE], zero: [4 * PAGE], size: PAGE },
                pageOf(6),
              ),
            );
            source.toAll(syncPacket());
            // The other channel, in another packet, with runs of pages that were written and pages
            // that were not.
            two!.put(ramPacket({ block: 'ram', zero: [1, 2, 3, 4, 5].map((page) => page * PAGE) }));
            source.toAll(syncPacket(), syncPacket());
            source.main.put(
              header(),
              start([BLOCK]),
              flush(),
              endOfSection(),
              part(),
              normalPage(6 * PAGE, pageOf(7), 'ram'),
              normalPage(8 * PAGE, pageOf(9), 'ram'),
              flush(),
              endOfSection(),
              part(),
              zeroPage(6 * PAGE, 'ram'),
              zeroPage(7 * PAGE, 'ram'),
              flush(),
              endOfSection(),
              end(),
              flush(),
              endOfSection(),
              endOfFile(),
            );
            return source;
          },
        );
        expect(error).toBeUndefined();
      });
      expect(firsts(bytes)).toEqual([
        1,
        0,
        0,
        MARK,
        MARK,
        0,
        0,
        MARK,
        9,
        ...new Array<number>(7).fill(MARK),
      ]);
    },
  );

  it.each(Object.entries(KINDS))(
    '%s: pages that an image lacks are left alone',
    async (_, make) => {
      const { target, bytes } = make();
      bytes.fill(MARK);
      const source = new Uint8Array(BLOCK.length);
      source.fill(7, 2 * PAGE, 5 * PAGE);
      await withFolder(async (folder) => {
        const uri = `file:${join(folder, 'ram.img')}`;
        await send({ uri, blocks: [{ id: 'ram', source }], channels: 2 });
        const { completed } = await receive({
          uri,
          blocks: { ram: target },
          zeroed: true,
          inline,
          channels: 2,
        });
        await completed;
      });
      expect(firsts(bytes)).toEqual([MARK, MARK, 7, 7, 7, ...new Array<number>(11).fill(MARK)]);
    },
  );
});
