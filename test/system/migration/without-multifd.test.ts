import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectImage, receive, send } from 'multifd';
import { describe, expect, it } from 'vitest';
import { Source } from '../../support/peer.ts';
import { errorOf, leavingNothing, PAGE, pageOf, withFolder } from '../../support/migration.ts';
import {
  be32,
  be64,
  concat,
  end,
  endOfFile,
  endOfSection,
  header,
  name,
  normalPage,
  openReturnPath,
  part,
  shut,
  start,
  word,
  Word,
  zeroPage,
} from '../../support/wire.ts';

/** A source that has multifd off: one connection, with all pages. */

const BEGUN = concat(
  header('pc-i440fx-7.2'),
  openReturnPath(),
  start([{ id: 'ram', length: 16 * PAGE }]),
  endOfSection(),
);
const END = concat(end(), endOfSection(), endOfFile());
const zeros = (from: number, to: number): Uint8Array[] =>
  Array.from({ length: to - from }, (_, page) => zeroPage((from + page) * PAGE));

async function taken(...said: Uint8Array[]): Promise<Uint8Array> {
  const memory = new Uint8Array(16 * PAGE).fill(0xee);
  await leavingNothing(async () => {
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { ram: memory } });
    const source = await Source.connect(incoming.uri, 0);
    source.main.put(BEGUN, ...said);
    expect(Uint8Array.from(await source.main.take(8))).toEqual(shut(0));
    const { channels, ram } = await incoming.completed;
    expect(channels).toEqual([]);
    expect(ram.total).toBe(16 * PAGE);
    await source.close();
  });
  return memory;
}

describe('a source without multifd is taken', () => {
  it('with pages in several rounds, the last of which counts', async () => {
    const memory = await taken(
      part(),
      normalPage(0, pageOf(1), 'ram'),
      normalPage(PAGE, pageOf(2)),
      ...zeros(2, 16),
      endOfSection(),
      part(),
      normalPage(PAGE, pageOf(3), 'ram'),
      zeroPage(0),
      endOfSection(),
      end(),
      normalPage(5 * PAGE, pageOf(4), 'ram'),
      endOfSection(),
      endOfFile(),
    );
    const wanted = new Uint8Array(16 * PAGE);
    wanted.fill(3, PAGE, 2 * PAGE);
    wanted.fill(4, 5 * PAGE, 6 * PAGE);
    expect(memory).toEqual(wanted);
  });

  it('with a page behind zero pages', async () => {
    const pages = [zeroPage(0, 'ram'), ...zeros(1, 15), normalPage(15 * PAGE, pageOf(1))];
    const memory = await taken(part(), ...pages, endOfSection(), END);
    expect(memory.subarray(15 * PAGE)).toEqual(pageOf(1));
    expect(memory.subarray(0, 15 * PAGE)).toEqual(new Uint8Array(15 * PAGE));
  });

  it('with nothing but zero pages', async () => {
    const memory = await taken(part(), zeroPage(0, 'ram'), ...zeros(1, 16), endOfSection(), END);
    expect(memory).toEqual(new Uint8Array(16 * PAGE));
  });

  it('with pages of 1 KiB, of which none has content', async () => {
    await withFolder(async (folder) => {
      const image = join(folder, 'image');
      const incoming = await receive({ uri: 'tcp:127.0.0.1:0', image });
      const source = await Source.connect(incoming.uri, 0);
      const pages = Array.from({ length: 64 }, (_, page) => zeroPage(page * 1024, 'ram'));
      source.main.put(BEGUN, part(), ...pages, endOfSection(), END);
      await source.main.take(8);
      await incoming.completed;
      await source.close();
      expect(await inspectImage(image)).toMatchObject({ 'page-size': 1024 });
    });
  });

  it('but for XBZRLE, which is refused by its name', async () => {
    await leavingNothing(async () => {
      const blocks = { ram: new Uint8Array(16 * PAGE) };
      const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks });
      const source = await Source.connect(incoming.uri, 0);
      source.main.put(BEGUN, part(), word(0, Word.XBZRLE), name('ram'));
      const error = await errorOf(incoming.completed);
      expect(error).toMatchObject({ code: 'ERR_UNSUPPORTED', channel: 'main' });
      expect(error.message).toContain('XBZRLE');
      await source.close();
    });
  });
});

/** START, PART and END of a device whose state goes along, and one that is before the RAM. */
const HTAB = {
  start: concat(Uint8Array.of(1), be32(7), name('spapr/htab'), be32(0), be32(1), be32(24)),
  part: concat(Uint8Array.of(2), be32(7), be32(0), be64(0)),
  end: concat(Uint8Array.of(3), be32(7), be32(0), be64(0)),
  footer: concat(Uint8Array.of(0x7e), be32(7)),
};
const EARLY = concat(
  Uint8Array.of(4),
  be32(37),
  name('0000:00:01.0/virtio-mem-device-early'),
  be32(0),
  be32(1),
  concat(be64(0), be64(2 ** 21), be64(2 ** 21), be32(0), be64(0), be64(0)),
  Uint8Array.of(0x7e),
  be32(37),
);

describe('sections beside "ram"', () => {
  const MAIN = concat(
    header('pc-i440fx-7.2'),
    openReturnPath(),
    EARLY,
    start([{ id: 'ram', length: 16 * PAGE }]),
    endOfSection(),
    HTAB.start,
    HTAB.footer,
    part(),
    normalPage(0, pageOf(1), 'ram'),
    ...zeros(1, 16),
    endOfSection(),
    HTAB.part,
    HTAB.footer,
    end(),
    endOfSection(),
    HTAB.end,
    HTAB.footer,
    endOfFile(),
  );
  const between = concat(HTAB.start, HTAB.footer, HTAB.part, HTAB.footer);
  const after = concat(HTAB.end, HTAB.footer);

  async function captured(folder: string): Promise<string> {
    const image = join(folder, 'image');
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', image });
    const source = await Source.connect(incoming.uri, 0);
    source.main.put(MAIN);
    await source.main.take(8);
    await incoming.completed;
    await source.close();
    return image;
  }

  it('have their place in an image, and are told by inspect', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const image = await captured(folder);
        const report = await inspectImage(image);
        expect(report.others).toMatchObject([
          { idstr: '0000:00:01.0/virtio-mem-device-early', sections: 1, bytes: EARLY.length },
          { idstr: 'spapr/htab', sections: 3, bytes: between.length + after.length },
        ]);
        const bytes = await readFile(image);
        const at = (part: Uint8Array): number => bytes.indexOf(part);
        const places = [
          at(EARLY),
          at(start([{ id: 'ram', length: 16 * PAGE }]).subarray(0, 20)),
          at(between),
          bytes.indexOf(end(), at(between)),
          bytes.indexOf(after, at(between)),
        ];
        expect(places).toEqual([...places].sort((a, b) => a - b));
        expect(places.every((place) => place > 0)).toBe(true);
      }),
    );
  });

  it('are sent where they were, with multifd and without, and copied', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const image = await captured(folder);
        const { others } = await inspectImage(image);
        for (const options of [{}, { multifd: false }]) {
          const again = join(folder, `again-${Object.keys(options).length}`);
          const incoming = await receive({ uri: 'tcp:127.0.0.1:0', image: again });
          await send({ uri: incoming.uri, image, ...options });
          await incoming.completed;
          expect((await inspectImage(again)).others).toEqual(others);
          expect(Buffer.compare(await readFile(again), await readFile(image))).toBe(0);
        }
        // By postcopy they end before the device sections, which come before the end of "ram".
        const later = join(folder, 'later');
        const incoming = await receive({ uri: 'tcp:127.0.0.1:0', image: later });
        await send({ uri: incoming.uri, image, postcopy: true });
        await incoming.completed;
        expect((await inspectImage(later)).others).toEqual(others);
        const copy = join(folder, 'copy');
        await send({ uri: `file:${copy}`, image });
        expect(Buffer.compare(await readFile(copy), await readFile(image))).toBe(0);
      }),
    );
  });
});
