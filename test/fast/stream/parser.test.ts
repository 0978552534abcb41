import { describe, expect, test } from 'vitest';
import {
  Command,
  flushWord,
  parseMainStream,
  ramResize,
  zeroPage,
} from '../../../src/stream/index.ts';
import { MultifdError } from '../../../src/util/errors.ts';
import { Random, SEED } from '../../support/random.ts';
import { bytes, parse, PIECES, readerOf, recorder, stream } from '../../support/stream.ts';

const BLOCKS = [
  { id: 'one!', usedLength: 0x3000 },
  { id: 'a/two', usedLength: 0x2000 },
];

describe('a small stream, per-round', () => {
  test.each([1, 2, 7, 4096])('read %i bytes at a time', async (step) => {
    const { events, summary, tail } = await parse(stream(), { step });
    expect(events).toEqual([
      ['configuration', { machine: 'test', capabilities: [] }],
      ['command', Command.OPEN_RETURN_PATH, []],
      ['blocks', BLOCKS],
      ['flush'],
      ['end', 'start', 'per-round'],
      ['zero', 0, 0x1000],
      ['zero', 0, 0x2000],
      ['zero', 1, 0],
      ['flush'],
      ['end', 'part', 'per-round'],
      ['flush'],
      ['end', 'end', 'per-round'],
    ]);
    expect(tail).toEqual(bytes('00'));
    expect(summary).toMatchObject({
      syncMode: 'per-round',
      tailLength: 1,
      tailOffset: stream().length - 1,
    });
  });

  test('without a flush in START it is per-section', async () => {
    const { events, summary } = await parse(
      stream({ startContent: bytes(), partContent: bytes(), endContent: bytes() }),
    );
    expect(summary.syncMode).toBe('per-section');
    expect(events.filter(([name]) => name === 'end')).toEqual([
      ['end', 'start', 'per-section'],
      ['end', 'part', 'per-section'],
      ['end', 'end', 'per-section'],
    ]);
  });

  test('pages come whole, with their block and offset', async () => {
    const page = new Uint8Array(4096).fill(7);
    page[0] = 1;
    const again = new Uint8Array(4096).fill(9);
    const content = bytes('0000000000001008 05', "'a/two", page, '0000000000000028', again);
    const { events } = await parse(stream({ partContent: content }), { step: 1000 });
    expect(events.filter(([name]) => name === 'page')).toEqual([
      ['page', 1, 0x1000, [4096, 1, 7]],
      ['page', 1, 0, [4096, 9, 9]],
    ]);
  });

  test('a larger page than the read buffer', async () => {
    const size = 128 * 1024;
    const { events } = await parse(
      stream({
        memSize: bytes('0000000000040004'),
        blocks: bytes('01', "'x", '0000000000040000'),
        partContent: bytes('0000000000020008 01', "'x", new Uint8Array(size).fill(3)),
      }),
      { pageSize: size, step: 50_000 },
    );
    expect(events).toContainEqual(['page', 0, size, [size, 3, 3]]);
  });

  test('any section id, no pages, no blocks', async () => {
    const renumber = (piece: Uint8Array): Uint8Array => bytes(piece.subarray(0, -4), '0000abcd');
    const { events } = await parse(
      stream({
        start: bytes('01 0000abcd 03', "'ram", '00000000 00000004'),
        memSize: bytes('0000000000000004'),
        blocks: bytes(),
        startEnd: renumber(PIECES.startEnd),
        part: bytes(),
        partContent: bytes(),
        partEnd: bytes(),
        end: renumber(PIECES.end),
        endEnd: renumber(PIECES.endEnd),
      }),
    );
    expect(events).toContainEqual(['blocks', []]);
  });

  test.each(['flush', 'zeroPage'] as const)(
    'the parser reads on only when %s is done',
    async (slow) => {
      const { handler } = recorder();
      let inside = 0;
      const called: string[] = [];
      const enter = async (name: string): Promise<void> => {
        expect(inside, name).toBe(0);
        called.push(name);
        inside += name === slow ? 1 : 0;
        await new Promise((resolve) => setImmediate(resolve));
        inside -= name === slow ? 1 : 0;
      };
      await parseMainStream(readerOf(stream()), {
        ...handler,
        flush: () => enter('flush'),
        zeroPage: () => enter('zeroPage'),
      });
      expect(called).toEqual(['flush', 'zeroPage', 'zeroPage', 'zeroPage', 'flush', 'flush']);
    },
  );

  test.each([1, 7, 4096])(
    'blocks grow between two rounds, any number of times, %i bytes at a time',
    async (step) => {
      const list = (one: number, two: number) => [
        { id: 'one!', usedLength: one },
        { id: 'a/two', usedLength: two },
      ];
      const grow = (one: number, two: number): Uint8Array =>
        bytes(ramResize(list(one, two), 4096), flushWord());
      const partContent = bytes(
        zeroPage('one!', 0x2000),
        flushWord(),
        grow(0x5000, 0x2000),
        zeroPage('one!', 0x4000),
        flushWord(),
        grow(0x5000, 0x2000),
        grow(0x6000, 0x10000),
        zeroPage(undefined, 0x5000),
        zeroPage('a/two', 0xf000),
        flushWord(),
      );
      const { events } = await parse(stream({ partContent }), { step, maxBytes: 0x16000 });
      expect(events.slice(4, -2)).toEqual([
        ['end', 'start', 'per-round'],
        ['zero', 0, 0x2000],
        ['flush'],
        ['resize', list(0x5000, 0x2000)],
        ['flush'],
        ['zero', 0, 0x4000],
        ['flush'],
        ['resize', list(0x5000, 0x2000)],
        ['flush'],
        ['resize', list(0x6000, 0x10000)],
        ['flush'],
        ['zero', 0, 0x5000],
        ['zero', 1, 0xf000],
        ['flush'],
        ['end', 'part', 'per-round'],
      ]);
    },
  );

  test('a handler that throws ends the parse with its error', async () => {
    const { handler } = recorder();
    const failure = new Error('no room');
    const failing = { ...handler, blocks: () => Promise.reject(failure) };
    await expect(parseMainStream(readerOf(stream()), failing)).rejects.toBe(failure);
  });

  test('commands come between sections as well', async () => {
    const { events } = await parse(
      stream({ end: bytes('08 000b 0000', '08 0002 0004 01020304', PIECES.end) }),
    );
    expect(events).toContainEqual(['command', Command.SWITCHOVER_START, []]);
    expect(events).toContainEqual(['command', Command.PING, [1, 2, 3, 4]]);
  });

  test('all subsections of the configuration', async () => {
    const uuid = bytes('000102030405060708090a0b0c0d0e0f');
    const configuration = bytes(
      PIECES.configuration,
      '05 1e',
      "'configuration/target-page-bits",
      '00000001 0000000c',
      '05 12',
      "'configuration/uuid",
      '00000001',
      uuid,
    );
    const { events } = await parse(stream({ configuration }), { uuid });
    expect(events[0]).toEqual([
      'configuration',
      { machine: 'test', capabilities: [], uuid, targetPageBits: 12 },
    ]);
  });
});

test('a stream cut short at any byte is reported as such, at that byte', async () => {
  const whole = stream({
    partContent: bytes(PIECES.partContent, '0000000000001008 05', "'a/two", new Uint8Array(4096)),
  });
  for (let length = 0; length < whole.length; length++) {
    const error = await parse(whole.subarray(0, length)).catch((thrown: unknown) => thrown);
    expect(error, `cut at ${length}`).toMatchObject({
      code: 'ERR_PEER_CLOSED',
      channel: 'main',
      offset: length,
    });
  }
});

test('the same for a file is ERR_IMAGE, and positions count from its own', async () => {
  const cut = stream().subarray(0, 40);
  const reader = readerOf(cut, 5, { origin: 'file', position: 1000 });
  await expect(parseMainStream(reader, recorder().handler)).rejects.toMatchObject({
    code: 'ERR_IMAGE',
    offset: 1040,
  });
});

test(`random damage is refused with a MultifdError or read as something else, never anything worse, SEED ${SEED}`, async () => {
  const random = new Random(SEED);
  const whole = stream();
  let refused = 0;
  for (let round = 0; round < 2000; round++) {
    const damaged = whole.slice();
    for (let i = 0; i <= random.below(3); i++)
      damaged[random.below(damaged.length)] = random.below(256);
    const outcome = await parse(damaged).then(
      () => 'read',
      (error: unknown) => error,
    );
    if (outcome === 'read') continue;
    refused++;
    expect(outcome, `round ${round}`).toBeInstanceOf(MultifdError);
    expect((outcome as MultifdError).code, `round ${round}`).not.toBe('ERR_INTERNAL');
  }
  expect(refused).toBeGreaterThan(1000);
});
