import { describe, expect, test } from 'vitest';
import { bytes, parse, PIECES, stream } from '../../support/stream.ts';
import { be64, concat, name, Word } from '../../support/wire.ts';
import { Random, SEED } from '../../support/random.ts';

const BLOCK = 'ram';
const LENGTH = 2 ** 20;

/** A stream with pages of a size on the main channel, told by nothing before. */
function withPages(
  pages: ReadonlyArray<{ offset: number; content: Uint8Array; continues?: boolean }>,
  replaced: Partial<typeof PIECES> = {},
): Uint8Array {
  const words = pages.map(({ offset, content, continues = false }) =>
    continues
      ? concat(be64(offset + Word.PAGE + Word.CONTINUE), content)
      : concat(be64(offset + Word.PAGE), name(BLOCK), content),
  );
  return stream({
    memSize: be64(LENGTH + Word.MEM_SIZE),
    blocks: concat(name(BLOCK), be64(LENGTH)),
    startContent: bytes(),
    partContent: concat(...words),
    endContent: bytes(),
    ...replaced,
  });
}

const pagesIn = (events: readonly (readonly unknown[])[]): unknown[] =>
  events.filter(([event]) => event === 'page').map(([, , offset, what]) => [offset, what]);

describe('how long a page is, where nothing has told it', () => {
  const sizes = [1024, 2048, 4096, 8192, 16384];
  test.each(sizes)('%i bytes, by what follows the first page', async (size) => {
    const random = new Random(SEED);
    const content = (): Uint8Array => random.bytes(size);
    for (const first of [0, 3 * size]) {
      const pages = [
        { offset: first, content: content() },
        { offset: first + size, content: content(), continues: true },
        { offset: 16 * size, content: content() },
      ];
      for (const step of [undefined, 700]) {
        const { events } = await parse(withPages(pages), { ...(step && { step }) });
        expect(pagesIn(events)).toEqual(
          pages.map(({ offset, content }) => [offset, [size, content[0], content.at(-1)]]),
        );
      }
    }
  });

  test.each(sizes)('%i bytes, where the section ends behind it', async (size) => {
    const { events } = await parse(
      withPages([{ offset: 0, content: new Uint8Array(size).fill(5) }]),
    );
    expect(pagesIn(events)).toEqual([[0, [size, 5, 5]]]);
  });

  test('a page that holds such a stream itself is no shorter', async () => {
    const page = new Uint8Array(4096).fill(1);
    // What would follow a page of 1 KiB.
    page.set(concat(be64(0x8000 + Word.PAGE), name(BLOCK)), 1024);
    const pages = [
      { offset: 0, content: page },
      { offset: 4096, content: page, continues: true },
    ];
    await expect(parse(withPages(pages))).rejects.toMatchObject({
      code: 'ERR_STREAM',
      message: expect.stringContaining('page size'),
    });
    const { events } = await parse(withPages(pages), { pageSize: 4096 });
    expect(pagesIn(events)).toHaveLength(2);
  });

  test('what fits no size is refused, and says what to give', async () => {
    const content = withPages([{ offset: 0, content: new Uint8Array(5000).fill(3) }]);
    const long = concat(content, new Uint8Array(65536).fill(3));
    await expect(parse(long)).rejects.toMatchObject({
      code: 'ERR_STREAM',
      message: expect.stringContaining('page size'),
    });
  });

  test('the configuration, or POSTCOPY_ADVISE, tells it', async () => {
    const bits = bytes('05 1e', "'configuration/target-page-bits", '00000001 0000000d');
    const advise = concat(bytes('08 0003 0010'), be64(8192), be64(8192));
    const wrong = withPages([{ offset: 4096, content: new Uint8Array(8192) }]);
    for (const replaced of [
      { configuration: concat(PIECES.configuration, bits) },
      { command: advise },
    ]) {
      const page = { offset: 8192, content: new Uint8Array(8192).fill(9) };
      const { events } = await parse(withPages([page], replaced));
      expect(pagesIn(events)).toEqual([[8192, [8192, 9, 9]]]);
      await expect(parse(concat(wrong), { pageSize: 8192 })).rejects.toMatchObject({
        code: 'ERR_PAGE_OFFSET',
      });
    }
  });

  test('a size that is not the one told is named', async () => {
    const bits = bytes('05 1e', "'configuration/target-page-bits", '00000001 0000000d');
    const content = withPages([], { configuration: concat(PIECES.configuration, bits) });
    await expect(parse(content, { pageSize: 4096 })).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringContaining('2^13'),
    });
    const small = withPages([{ offset: 1024, content: new Uint8Array(1024) }]);
    await expect(parse(small, { pageSize: 4096 })).rejects.toMatchObject({
      code: 'ERR_PAGE_OFFSET',
      message: expect.stringContaining('smaller'),
    });
  });
});

describe('entries of the block list', () => {
  const adviseOf = (sizes: number): Uint8Array =>
    concat(bytes('08 0003 0010'), be64(sizes), be64(4096));
  const blocksOf = async (command: Uint8Array, blocks: Uint8Array, capability?: string) => {
    const capabilities = bytes(
      '05 1a',
      "'configuration/capabilities",
      '00000001 00000001 0f',
      "'x-ignore-shared",
    );
    const { events } = await parse(
      stream({
        command,
        blocks,
        memSize: be64(0x600000 + Word.MEM_SIZE),
        partContent: bytes(),
        ...(capability && { configuration: concat(PIECES.configuration, capabilities) }),
      }),
    );
    return events.find(([event]) => event === 'blocks')![1];
  };
  const HUGE = 2 ** 21;

  test('huge pages have a word behind the length, others have none', async () => {
    const blocks = concat(
      concat(name('a'), be64(HUGE), be64(HUGE)),
      concat(name('b'), be64(HUGE)),
      concat(name('c'), be64(HUGE), be64(HUGE)),
    );
    expect(await blocksOf(adviseOf(HUGE + 4096), blocks)).toEqual([
      { id: 'a', usedLength: HUGE, hostPageSize: HUGE },
      { id: 'b', usedLength: HUGE },
      { id: 'c', usedLength: HUGE, hostPageSize: HUGE },
    ]);
  });

  test('without huge pages there is none', async () => {
    const blocks = concat(name('a'), be64(3 * HUGE));
    expect(await blocksOf(adviseOf(4096), blocks)).toEqual([{ id: 'a', usedLength: 3 * HUGE }]);
  });

  test('with x-ignore-shared each has its address, which can look like a page size', async () => {
    const blocks = concat(
      concat(name('a'), be64(HUGE), be64(0)),
      concat(name('b'), be64(HUGE), be64(HUGE)),
      concat(name('c'), be64(HUGE), be64(HUGE), be64(2 * HUGE)),
    );
    expect(await blocksOf(adviseOf(HUGE + 4096), blocks, 'x-ignore-shared')).toEqual([
      { id: 'a', usedLength: HUGE, address: 0 },
      { id: 'b', usedLength: HUGE, address: HUGE },
      { id: 'c', usedLength: HUGE, hostPageSize: HUGE, address: 2 * HUGE },
    ]);
    const last = concat(
      concat(name('a'), be64(2 * HUGE), be64(0)),
      concat(name('b'), be64(HUGE), be64(HUGE)),
    );
    expect(await blocksOf(adviseOf(HUGE + 4096), last, 'x-ignore-shared')).toEqual([
      { id: 'a', usedLength: 2 * HUGE, address: 0 },
      { id: 'b', usedLength: HUGE, address: HUGE },
    ]);
  });
});
