import { describe, expect, test } from 'vitest';
import { ByteReader, type MainStreamHandler, parseMainStream } from '../../../src/stream/index.ts';
import { be32, be64, concat, name, Word } from '../../support/wire.ts';
import { bytes, PIECES, readerOf, recorder, sourceOf, stream } from '../../support/stream.ts';

const command = (number: number, data: Uint8Array): Uint8Array =>
  bytes('08 00', number, data.length >> 8, data.length & 255, data);
const ADVISE = command(3, concat(be64(4096), be64(4096)));
const LISTEN = command(4, bytes());
const RUN = command(5, bytes());
const ping = (value: number): Uint8Array => command(2, be32(value));
const discard = (id: string, ...ranges: number[]): Uint8Array =>
  command(6, concat(bytes('00'), name(id), bytes('00'), ...ranges.map(be64)));
const packaged = (content: Uint8Array): Uint8Array =>
  concat(command(7, be32(content.length)), content);
const SECTIONS = bytes('04 00000009 03', "'cpu", '00000000 00000001', 'abcd', '7e 00000009');
const PACKAGE = concat(LISTEN, SECTIONS, ping(3), ping(0x42), RUN);

/** What comes behind the package. */
const PAGES = concat(
  PIECES.part,
  be64(0x1000 + Word.PAGE),
  name('one!'),
  new Uint8Array(4096).fill(7),
  be64(0x2000 + Word.ZERO + Word.CONTINUE),
  bytes('00'),
  PIECES.partEnd,
);

function migration(pieces: { advise?: Uint8Array; beforeEnd?: Uint8Array; tail?: Uint8Array }) {
  const usual = concat(discard('one!', 0x1000, 0x2000), ping(2), packaged(PACKAGE), ping(4), PAGES);
  return stream({
    command: concat(PIECES.command, pieces.advise ?? ADVISE),
    partEnd: concat(PIECES.partEnd, pieces.beforeEnd ?? usual),
    endContent: bytes(),
    tail: pieces.tail ?? bytes('00'),
  });
}

function taking(more: Partial<MainStreamHandler> = {}) {
  const { handler, events, tail } = recorder();
  const all: MainStreamHandler = {
    ...handler,
    discard: (block, offset, length) => void events.push(['discard', block, offset, length]),
    packaged: (pings) => void events.push(['packaged', ...pings]),
    ...more,
  };
  return { handler: all, events, tail };
}

describe('a main stream that goes over to postcopy', () => {
  test.each([undefined, 5])('is told of in its order, in steps of %s bytes', async (step) => {
    const { handler, events, tail } = taking();
    const summary = await parseMainStream(readerOf(migration({}), step), handler);
    expect(summary.postcopy).toBe(true);
    expect(tail()).toEqual(concat(SECTIONS, bytes('00')));
    const behind = events.slice(events.findIndex(([event]) => event === 'discard'));
    expect(behind).toEqual([
      ['discard', 0, 0x1000, 0x2000],
      ['command', 2, [0, 0, 0, 2]],
      ['command', 7, [0, 0, 0, PACKAGE.length]],
      ['packaged', 3, 0x42],
      ['command', 2, [0, 0, 0, 4]],
      ['page', 0, 0x1000, [4096, 7, 7]],
      ['zero', 0, 0x2000],
      ['end', 'part', 'per-round'],
      ['end', 'end', 'per-round'],
    ]);
  });

  test('one that merely may changes nothing', async () => {
    const { handler, events } = taking();
    const content = stream({ command: concat(PIECES.command, ADVISE) });
    expect((await parseMainStream(readerOf(content), handler)).postcopy).toBe(false);
    expect(events.some(([event]) => event === 'packaged')).toBe(false);
  });

  test.each<[string, Parameters<typeof migration>[0], string]>([
    ['ADVISE twice', { advise: concat(ADVISE, ADVISE) }, 'ERR_STREAM'],
    ['no ADVISE', { advise: bytes() }, 'ERR_STREAM'],
    ['DISCARD of an unknown block', { beforeEnd: discard('two', 0, 4096) }, 'ERR_BLOCK'],
    ["DISCARD behind a block's end", { beforeEnd: discard('one!', 0x2000, 0x2000) }, 'ERR_STREAM'],
    ['DISCARD of another version', { beforeEnd: command(6, bytes('01 00 00')) }, 'ERR_STREAM'],
    ['DISCARD without a name', { beforeEnd: command(6, bytes('00 20 00')) }, 'ERR_STREAM'],
    ['half a range', { beforeEnd: command(6, bytes('00 04', "'one!", '00 00')) }, 'ERR_STREAM'],
    ['LISTEN without a package', { beforeEnd: LISTEN }, 'ERR_STREAM'],
    ['a package without RUN', { beforeEnd: packaged(concat(LISTEN, SECTIONS)) }, 'ERR_UNSUPPORTED'],
    ['a package without LISTEN', { beforeEnd: packaged(concat(SECTIONS, RUN)) }, 'ERR_UNSUPPORTED'],
    [
      'a package of no sections',
      { beforeEnd: packaged(concat(LISTEN, bytes('04'), RUN)) },
      'ERR_STREAM',
    ],
    ['an empty package', { beforeEnd: packaged(bytes()) }, 'ERR_UNSUPPORTED'],
    ['two packages', { beforeEnd: concat(packaged(PACKAGE), packaged(PACKAGE)) }, 'ERR_STREAM'],
    [
      'a DISCARD behind it',
      { beforeEnd: concat(packaged(PACKAGE), discard('one!')) },
      'ERR_STREAM',
    ],
    [
      'a section of a device behind it',
      { beforeEnd: concat(packaged(PACKAGE), SECTIONS) },
      'ERR_UNSUPPORTED',
    ],
    ['device sections at the end too', { tail: concat(SECTIONS, bytes('00')) }, 'ERR_STREAM'],
    ['RESUME before it', { beforeEnd: command(9, bytes()) }, 'ERR_STREAM'],
    ['RECV_BITMAP before it', { beforeEnd: command(10, name('one!')) }, 'ERR_STREAM'],
  ])('%s is refused', async (_, pieces, code) => {
    await expect(
      parseMainStream(readerOf(migration(pieces)), taking().handler),
    ).rejects.toMatchObject({ code, channel: 'main' });
  });

  test('a package larger than is allowed is refused before it is read', async () => {
    const content = migration({ beforeEnd: command(7, be32(2 ** 31)) });
    await expect(
      parseMainStream(readerOf(content), taking().handler, { maxTail: 1024 }),
    ).rejects.toMatchObject({
      code: 'ERR_STREAM',
      message: expect.stringContaining('maxDeviceState'),
    });
  });

  test('where a handler takes none, it is refused by name', async () => {
    await expect(
      parseMainStream(readerOf(migration({})), recorder().handler),
    ).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringContaining('postcopy'),
    });
  });

  test('a source that is lost behind the package goes on with the next record', async () => {
    const whole = migration({});
    const cut = whole.length - PIECES.end.length - PIECES.endEnd.length - 1 - 100;
    const rest = concat(command(10, name('one!')), command(9, bytes()), PAGES);
    const end = concat(PIECES.end, PIECES.endEnd, bytes('00'));
    const lost: string[] = [];
    const { handler, events } = taking({
      async reconnect(error) {
        lost.push((error as { code?: string }).code!);
        return sourceOf(concat(rest, end));
      },
    });
    const summary = await parseMainStream(readerOf(whole.subarray(0, cut), 1000), handler);
    expect(summary.postcopy).toBe(true);
    expect(lost).toEqual(['ERR_PEER_CLOSED']);
    expect(events.filter(([event]) => event === 'command').at(-1)).toEqual(['command', 9, []]);
    expect(events.filter(([event]) => event === 'page')).toHaveLength(1);
  });

  test('one that is lost before it has failed', async () => {
    const { handler } = taking({
      reconnect: () => Promise.reject(new Error('it was asked for')),
    });
    await expect(
      parseMainStream(readerOf(migration({}).subarray(0, 200)), handler),
    ).rejects.toMatchObject({ code: 'ERR_PEER_CLOSED' });
  });

  test('urgent pages come on a channel without sections', async () => {
    const urgent = concat(
      be64(Word.PAGE),
      name('one!'),
      new Uint8Array(4096).fill(9),
      be64(0x1000 + Word.ZERO + Word.CONTINUE),
      bytes('00'),
      be64(Word.EOS),
    );
    const { handler, events } = taking({
      packaged: (_, read) => read(new ByteReader(sourceOf(urgent, 100))),
    });
    await parseMainStream(readerOf(migration({})), handler);
    expect(events.filter(([event]) => event === 'page').map(([, , offset]) => offset)).toEqual([
      0, 0x1000,
    ]);
    const wrong = taking({
      packaged: (_, read) =>
        read(new ByteReader(sourceOf(concat(be64(0x3000 + Word.PAGE), name('one!'))))),
    });
    await expect(parseMainStream(readerOf(migration({})), wrong.handler)).rejects.toMatchObject({
      code: 'ERR_PAGE_OFFSET',
    });
  });
});
