import { join } from 'node:path';
import {
  inspectImage,
  inspectRecording,
  type OutgoingBlock,
  receive,
  record,
  replay,
  send,
} from 'multifd';
import { describe, expect, test } from 'vitest';
import { CuttingRelay } from '../../support/cutting-relay.ts';
import { Source, Wire } from '../../support/peer.ts';
import { errorOf, leavingNothing, PAGE, pageOf, withFolder } from '../../support/migration.ts';
import { Random, SEED } from '../../support/random.ts';
import {
  be32,
  be64,
  command,
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

/** The incoming end of postcopy: both ends are ours, or the source is written by hand. */

const random = new Random(SEED);
const PAGES = 24;

function memory(): Uint8Array {
  const bytes = new Uint8Array(PAGES * PAGE);
  for (let page = 0; page < PAGES; page++)
    if (page % 3 !== 1) bytes.fill(random.below(255) + 1, page * PAGE, (page + 1) * PAGE);
  return bytes;
}

const CONTENT = memory();
const blocks: readonly OutgoingBlock[] = [{ id: 'ram', source: CONTENT }];

describe(`a source that goes over to postcopy, seed ${SEED}`, () => {
  test.each([
    ['without multifd', {}],
    ['with multifd', { channels: 2 }],
    ['after a round', { channels: 2, postcopyAfter: 1 }],
    ['with a channel for urgent pages', { postcopyPreempt: true }],
  ])('%s', async (_, options) => {
    await leavingNothing(async () => {
      const target = new Uint8Array(CONTENT.length).fill(0xee);
      const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { ram: target } });
      const sent = await send({ uri: incoming.uri, blocks, postcopy: true, ...options });
      expect(sent.confirmed).toBe(true);
      await incoming.completed;
      expect(Buffer.compare(target, CONTENT)).toBe(0);
    });
  });

  test.each([
    ['without multifd', {}],
    ['with multifd', { channels: 2 }],
  ])('is recorded, told of by inspect, and replayed: %s', async (_, options) => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'recording');
        const recorder = await record({ uri: 'tcp:127.0.0.1:0', path });
        await send({ uri: recorder.uri, blocks, postcopy: true, ...options });
        await recorder.completed;
        const report = await inspectRecording(path);
        expect(report).toMatchObject({ postcopy: true, answered: 0, problem: null });
        expect(report.blocks[0]).toMatchObject({ 'main-normal': 16, 'main-duplicate': 8 });

        const target = new Uint8Array(CONTENT.length).fill(0xee);
        const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { ram: target } });
        await replay({ uri: incoming.uri, path });
        await incoming.completed;
        expect(Buffer.compare(target, CONTENT)).toBe(0);
      }),
    );
  });

  /** Slow enough for the cut to come in time: it counts from the target's answer on. */
  const slowly = { postcopy: true, channels: 2, maxBandwidth: 256 * 1024 };
  // A page takes some 4 KiB, a zero page 9 bytes, and the rest some hundred: 66,000 in all.
  const cuts = Array.from({ length: 12 }, (_, n) => n * 4_000 + random.below(4_000));
  test.each(cuts)('is lost after %i bytes, and comes back', async (bytes) => {
    await leavingNothing(async () => {
      const target = new Uint8Array(CONTENT.length).fill(0xee);
      const paused: string[] = [];
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { ram: target },
        onPaused: (why) => void paused.push(why),
      });
      const relay = await CuttingRelay.open(incoming.uri, 1 + bytes);
      const error = await errorOf(send({ uri: relay.uri, blocks, ...slowly }));
      relay.close();
      expect(error.message).toContain('--resume');
      const sent = await send({ uri: incoming.uri, blocks, resume: true });
      expect(sent.confirmed).toBe(true);
      expect(paused).toHaveLength(1);
      await incoming.completed;
      expect(Buffer.compare(target, CONTENT)).toBe(0);
    });
  });

  test('that never comes back is given up, and says how it could have', async () => {
    await leavingNothing(async () => {
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { ram: new Uint8Array(CONTENT.length) },
        recoveryTimeout: 200,
      });
      const relay = await CuttingRelay.open(incoming.uri, 5_000);
      const sending = errorOf(send({ uri: relay.uri, blocks, ...slowly }));
      const error = await errorOf(incoming.completed);
      relay.close();
      await sending;
      expect(error).toMatchObject({ code: 'ERR_PEER_CLOSED', channel: 'main' });
      expect(error.message).toMatch(/pages missing here.*within 0.2 s.*migrate -r/);
    });
  });

  test('is waited for until it is cancelled', async () => {
    await leavingNothing(async () => {
      const cancel = new AbortController();
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { ram: new Uint8Array(CONTENT.length) },
        signal: cancel.signal,
        onPaused: () => cancel.abort(),
      });
      const relay = await CuttingRelay.open(incoming.uri, 5_000);
      const sending = errorOf(send({ uri: relay.uri, blocks, ...slowly }));
      expect(await errorOf(incoming.completed)).toMatchObject({ code: 'ERR_CANCELLED' });
      relay.close();
      await sending;
    });
  });
});

const ADVISE = command(3, concat(be64(PAGE), be64(PAGE)));
const LISTEN = command(4);
const RUN = command(5);
const SECTION = concat(
  Uint8Array.of(4),
  be32(9),
  name('cpu'),
  be32(0),
  be32(1),
  Uint8Array.of(1, 2, 3),
  Uint8Array.of(0x7e),
  be32(9),
);
const PACKAGE = concat(LISTEN, SECTION, command(2, be32(3)), RUN);
const discard = (offset: number, length: number): Uint8Array =>
  command(6, concat(Uint8Array.of(0), name('ram'), Uint8Array.of(0), be64(offset), be64(length)));
const packaged = concat(command(7, be32(PACKAGE.length)), PACKAGE);

const CHANGED = discard(PAGE, 2 * PAGE);

/** Up to where the guest would run: all of 16 pages have come, of which two have changed. */
const RUNNING = concat(
  header(),
  openReturnPath(),
  ADVISE,
  start([{ id: 'ram', length: 16 * PAGE }]),
  endOfSection(),
  part(),
  normalPage(0, pageOf(1), 'ram'),
  ...Array.from({ length: 15 }, (_, page) => zeroPage((page + 1) * PAGE)),
  endOfSection(),
  CHANGED,
  packaged,
);

describe('a source by hand that goes over to postcopy', () => {
  const expectTaken = async (wire: Wire, bytes: Uint8Array): Promise<void> =>
    expect(Uint8Array.from(await wire.take(bytes.length))).toEqual(bytes);

  const capture = async (
    script: (source: Source, another: () => Promise<Wire>) => Promise<void>,
    check: (outcome: { error: unknown; image: string }) => Promise<void>,
  ): Promise<void> =>
    withFolder((folder) =>
      leavingNothing(async () => {
        const image = join(folder, 'vm.img');
        const uri = 'tcp:127.0.0.1:0';
        const incoming = await receive({ uri, image, recoveryTimeout: 200 });
        const completed = incoming.completed.then(
          () => undefined,
          (error: unknown) => error,
        );
        const source = await Source.connect(incoming.uri, 0);
        const others: Wire[] = [];
        await script(source, async () => {
          const wire = await Wire.open(incoming.uri);
          others.push(wire);
          return wire;
        });
        await check({ error: await completed, image });
        for (const wire of [source.main, ...others]) {
          wire.destroy();
          await wire.closed;
        }
      }),
    );

  test('its device sections come before the last pages, and are in the image behind them', async () => {
    await capture(
      async ({ main }) => {
        main.put(RUNNING);
        await expectTaken(main, concat(Uint8Array.of(0, 2, 0, 4), be32(3)));
        main.put(
          part(),
          normalPage(2 * PAGE, pageOf(7), 'ram'),
          // What is zero is no page of the image, however it comes.
          normalPage(PAGE, pageOf(0)),
          endOfSection(),
          end(),
          endOfSection(),
          endOfFile(),
        );
        await expectTaken(main, shut(0));
      },
      async ({ error, image }) => {
        expect(error).toBeUndefined();
        const report = await inspectImage(image);
        expect(report.blocks).toMatchObject([{ id: 'ram', normal: 2, duplicate: 14 }]);
        expect(report['tail-bytes']).toBe(SECTION.length + 1);
      },
    );
  });

  test('that ends with pages missing leaves no image', async () => {
    await capture(
      async ({ main }) => {
        main.put(RUNNING, part(), normalPage(PAGE, pageOf(7), 'ram'), endOfSection());
        main.put(end(), endOfSection(), endOfFile());
      },
      async ({ error }) => {
        expect(error).toMatchObject({
          code: 'ERR_STREAM',
          message: expect.stringContaining('1 pages missing'),
        });
      },
    );
  });

  test('urgent pages on a channel of their own are waited for', async () => {
    await capture(
      async (source, another) => {
        const urgent = await another();
        source.main.put(RUNNING);
        await source.main.take(8);
        source.main.put(
          part(),
          normalPage(PAGE, pageOf(7), 'ram'),
          endOfSection(),
          end(),
          endOfSection(),
          endOfFile(),
        );
        urgent.put(concat(word(2 * PAGE, Word.PAGE), name('ram')), pageOf(9), word(0, Word.EOS));
        await expectTaken(source.main, shut(0));
        urgent.end();
      },
      async ({ error, image }) => {
        expect(error).toBeUndefined();
        expect((await inspectImage(image)).blocks).toMatchObject([{ normal: 3 }]);
      },
    );
  });

  test('asks what is here when it is back, and sends the rest', async () => {
    await capture(
      async (source, another) => {
        source.main.put(RUNNING);
        await source.main.take(8);
        await source.main.putAll(part(), normalPage(PAGE, pageOf(7), 'ram'), endOfSection());
        await source.main.putAll(command(2, be32(5)));
        await source.main.take(8);
        source.main.destroy();
        const back = await another();
        back.put(command(10, name('ram')));
        await expectTaken(
          back,
          concat(
            Uint8Array.of(0, 5, 0, 4),
            name('ram'),
            be64(8),
            Uint8Array.of(0b1111_1011, 0xff, 0, 0, 0, 0, 0, 0),
            be64(0x0123456789abcdefn),
          ),
        );
        back.put(command(9));
        await expectTaken(back, concat(Uint8Array.of(0, 6, 0, 4), be32(1)));
        back.put(part(), normalPage(2 * PAGE, pageOf(8), 'ram'), endOfSection());
        back.put(end(), endOfSection(), endOfFile());
        await expectTaken(back, shut(0));
      },
      async ({ error, image }) => {
        expect(error).toBeUndefined();
        expect((await inspectImage(image)).blocks).toMatchObject([{ normal: 3 }]);
      },
    );
  });

  test.each([
    ['twice', [discard(PAGE, 2 * PAGE), discard(2 * PAGE, PAGE)]],
    ['in part', [discard(PAGE, 100)]],
  ])('that names a page as changed %s has failed', async (_, said) => {
    await capture(
      async ({ main }) =>
        main.putAll(
          RUNNING.subarray(0, RUNNING.length - packaged.length - CHANGED.length),
          ...said,
        ),
      async ({ error }) => expect(error).toMatchObject({ code: 'ERR_STREAM', channel: 'main' }),
    );
  });

  test('that asks without end, and reads no answer, is given up', async () => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const blocks = { ram: new Uint8Array(16 * PAGE) };
        // Little is buffered on the way there.
        const uri = `unix:${join(folder, 'socket')}`;
        const incoming = await receive({ uri, blocks, timeout: 1_000 });
        const source = await Source.connect(incoming.uri, 0);
        const pings = concat(...Array.from({ length: 20_000 }, () => command(2, be32(1))));
        source.main.put(header(), openReturnPath());
        source.main.put(start([{ id: 'ram', length: 16 * PAGE }]), endOfSection());
        let over = false;
        const error = errorOf(incoming.completed).finally(() => {
          over = true;
        });
        while (!over) await Promise.race([source.main.putAll(pings), error]);
        expect(await error).toMatchObject({ code: 'ERR_TIMEOUT' });
        source.main.destroy();
        await source.main.closed;
      }),
    );
  });

  test('lost before its guest would run, it has failed', async () => {
    await capture(
      async ({ main }) => {
        await main.putAll(RUNNING.subarray(0, RUNNING.length - 20));
        main.end();
      },
      async ({ error }) => expect(error).toMatchObject({ code: 'ERR_PEER_CLOSED' }),
    );
  });
});
