import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectImage, receive } from 'multifd';
import { describe, expect, it } from 'vitest';
import { Source } from '../../support/peer.ts';
import {
  be32,
  be64,
  command,
  concat,
  end,
  endOfFile,
  endOfSection,
  flush,
  header,
  name,
  normalPage,
  openReturnPath,
  part,
  patched,
  ramPacket,
  shut,
  start,
  subsection,
  syncPacket,
  text,
  Word,
  word,
  zeroPage,
} from '../../support/wire.ts';
import {
  type Incoming,
  leavingNothing,
  PAGE,
  pageOf,
  receiving,
  refusal,
  withFolder,
} from '../../support/migration.ts';

const BLOCKS = [{ id: 'ram', length: 16 * PAGE }];
const H = header();
const S = start(BLOCKS);
/** Where the first word behind the block list is. */
const CONTENT = H.length + S.length;
const BLOCK_LIST = CONTENT - 'ram'.length - 9;
const MEM_SIZE = BLOCK_LIST - 8;

interface Case {
  what: string;
  main: Uint8Array;
  code: string;
  offset: number;
  options?: Incoming;
}

const mappedRam = subsection('configuration/capabilities', be32(1), name('mapped-ram'));

const CASES: Case[] = [
  { what: 'another version', main: patched(H, 4, be32(2)), code: 'ERR_VERSION', offset: 4 },
  {
    what: 'no CONFIGURATION',
    main: patched(H, 8, Uint8Array.of(1)),
    code: 'ERR_STREAM',
    offset: 8,
  },
  {
    what: 'mapped-ram over a connection',
    main: concat(header('none', mappedRam), S),
    code: 'ERR_UNSUPPORTED',
    offset: H.length + mappedRam.length,
  },
  {
    what: 'a capability that is not known',
    main: concat(
      header('none', subsection('configuration/capabilities', be32(1), name('x-another'))),
      S,
    ),
    code: 'ERR_UNSUPPORTED',
    offset: H.length + mappedRam.length - 1,
  },
  { what: 'COLO', main: concat(H, command(8)), code: 'ERR_UNSUPPORTED', offset: H.length + 1 },
  { what: 'LISTEN', main: concat(H, command(4)), code: 'ERR_STREAM', offset: H.length },
  {
    what: 'XBZRLE',
    main: concat(H, S, word(0, Word.XBZRLE), name('ram')),
    code: 'ERR_UNSUPPORTED',
    offset: CONTENT,
  },
  {
    what: 'RDMA',
    main: concat(H, S, word(0, Word.HOOK)),
    code: 'ERR_UNSUPPORTED',
    offset: CONTENT,
  },
  {
    what: 'flags without a meaning',
    main: concat(H, S, word(0, Word.ZERO | Word.PAGE)),
    code: 'ERR_STREAM',
    offset: CONTENT,
  },
  {
    what: 'a flush before the block list',
    main: concat(H, S.subarray(0, S.length - (CONTENT - MEM_SIZE)), flush()),
    code: 'ERR_STREAM',
    offset: MEM_SIZE,
  },
  {
    what: 'a section that was not started',
    main: concat(H, S, flush(), endOfSection(), Uint8Array.of(2), be32(2)),
    code: 'ERR_STREAM',
    offset: CONTENT + 8 + 13,
  },
  {
    what: "an end before the RAM's",
    main: concat(H, S, flush(), endOfSection(), endOfFile()),
    code: 'ERR_STREAM',
    offset: CONTENT + 8 + 13,
  },
  {
    what: 'an empty block name',
    main: concat(H, start([{ id: '', length: PAGE }])),
    code: 'ERR_BLOCK',
    offset: BLOCK_LIST + 1,
  },
  {
    what: 'a block name with a NUL',
    main: concat(H, start([{ id: 'a\0b', length: PAGE }])),
    code: 'ERR_BLOCK',
    offset: BLOCK_LIST + 1,
  },
  {
    what: 'a block name that is not UTF-8',
    main: concat(H, start([{ id: Uint8Array.of(0xff, 0xfe), length: PAGE }])),
    code: 'ERR_BLOCK',
    offset: BLOCK_LIST + 1,
  },
  {
    what: 'a block name with an escape sequence',
    main: concat(H, start([{ id: '\x1b[2J', length: PAGE }])),
    code: 'ERR_BLOCK',
    offset: BLOCK_LIST + 1,
  },
  {
    what: 'a block twice',
    main: concat(H, start([...BLOCKS, ...BLOCKS])),
    code: 'ERR_BLOCK',
    offset: CONTENT,
  },
  {
    what: 'blocks without end',
    main: concat(
      H,
      start([
        ...Array.from({ length: 5000 }, (_, i) => ({ id: `${i}`, length: 0 })),
        { id: 'last', length: PAGE },
      ]),
    ),
    code: 'ERR_BLOCK',
    offset: BLOCK_LIST + [...Array(4096).keys()].reduce((sum, i) => sum + 9 + `${i}`.length, 0),
  },
  {
    what: 'lengths that add up to more',
    main: concat(H, start(BLOCKS, 15 * PAGE)),
    code: 'ERR_BLOCK_LENGTH',
    offset: BLOCK_LIST,
  },
  {
    what: 'a length that is no page multiple',
    main: concat(H, start([{ id: 'ram', length: PAGE + 1 }], 2 * PAGE)),
    code: 'ERR_BLOCK_LENGTH',
    offset: BLOCK_LIST,
  },
  {
    what: 'a length of 2^63',
    main: concat(H, patched(S, S.length - 8, be64(1n << 63n))),
    code: 'ERR_STREAM',
    offset: CONTENT - 8,
  },
  {
    what: 'more memory than allowed',
    main: concat(H, S),
    code: 'ERR_BLOCK_LENGTH',
    offset: BLOCK_LIST,
    options: { maxBytes: 16 * PAGE - 1 },
  },
  {
    what: 'more memory than 1 TiB',
    main: concat(H, start([{ id: 'ram', length: 2 ** 40 + PAGE }])),
    code: 'ERR_BLOCK_LENGTH',
    offset: BLOCK_LIST,
  },
  {
    what: 'a zero page of an unknown block',
    main: concat(H, S, zeroPage(0, 'rom')),
    code: 'ERR_BLOCK',
    offset: CONTENT,
  },
  {
    what: 'a page of no block',
    main: concat(H, S, zeroPage(0)),
    code: 'ERR_STREAM',
    offset: CONTENT,
  },
  {
    what: 'a zero page behind its block',
    main: concat(H, S, zeroPage(16 * PAGE, 'ram')),
    code: 'ERR_PAGE_OFFSET',
    offset: CONTENT,
  },
  {
    what: 'a page behind its block',
    main: concat(H, S, normalPage(2 ** 40, pageOf(1), 'ram')),
    code: 'ERR_PAGE_OFFSET',
    offset: CONTENT,
  },
  {
    what: 'a zero page of ones',
    main: concat(H, S, word(0, Word.ZERO), name('ram'), Uint8Array.of(1)),
    code: 'ERR_STREAM',
    offset: CONTENT,
  },
  {
    what: 'a second block list',
    main: concat(H, S, word(PAGE, Word.MEM_SIZE)),
    code: 'ERR_STREAM',
    offset: CONTENT,
  },
  {
    what: "another section's footer",
    main: concat(H, S, word(0, Word.EOS), Uint8Array.of(0x7e), be32(7)),
    code: 'ERR_STREAM',
    offset: CONTENT + 8,
  },
  {
    what: 'another page size',
    main: concat(header('none', subsection('configuration/target-page-bits', be32(14))), S),
    code: 'ERR_UNSUPPORTED',
    offset: H.length + 40,
    options: { pageSize: PAGE },
  },
];

describe('a main channel is refused that has', () => {
  it.each(CASES)('$what', async ({ main, code, offset, options = {} }) => {
    await leavingNothing(async () => {
      const error = await refusal(options, (source) => {
        source.toAll(syncPacket());
        source.main.put(main);
      });
      expect(error).toMatchObject({ code, channel: 'main', offset });
    });
  });

  it('another uuid', async () => {
    await leavingNothing(async () => {
      const uuid = new Uint8Array(16).fill(5);
      const { error } = await receiving({ uuid }, async (uri) => {
        const source = await Source.connect(uri, 0);
        source.main.put(
          header('none', subsection('configuration/uuid', new Uint8Array(16).fill(6))),
          S,
        );
        return source;
      });
      expect(error).toMatchObject({ code: 'ERR_UUID', channel: 'main' });
    });
  });

  it('a block that there is no target for, or too small a one', async () => {
    await leavingNothing(async () => {
      for (const [blocks, code] of [
        [{}, 'ERR_BLOCK'],
        [{ ram: new Uint8Array(16 * PAGE - 1) }, 'ERR_BLOCK_LENGTH'],
        [{ ram: new WebAssembly.Memory({ initial: 0, maximum: 0 }) }, 'ERR_BLOCK_LENGTH'],
      ] as const) {
        const error = await refusal({ blocks }, (source) => {
          source.toAll(syncPacket());
          source.main.put(H, S);
        });
        expect(error.code).toBe(code);
        expect(error.message).toContain('"ram"');
      }
    });
  });
});

describe('names of blocks', () => {
  it('are names, not paths: whatever they are, nothing but the image is written', async () => {
    const ids = [
      '../../etc/passwd',
      '/dev/null',
      '..',
      '.',
      'a/b',
      'C:\\x',
      '/rom@etc/acpi/tables',
      'ü',
      'a'.repeat(255),
      'out.img',
    ];
    await withFolder(async (folder) => {
      const image = join(folder, 'out.img');
      const incoming = await receive({ uri: `unix:${folder}/socket`, image, inline: true });
      const source = await Source.connect(incoming.uri, 2);
      source.main.put(
        H,
        start(ids.map((id) => ({ id, length: PAGE }))),
        flush(),
        endOfSection(),
        part(),
        flush(),
        endOfSection(),
        end(),
        endOfSection(),
        endOfFile(),
      );
      source.toAll(syncPacket());
      for (const [i, id] of ids.entries())
        source.channels[i % 2]!.put(ramPacket({ block: id, normal: [0] }, pageOf(i + 1)));
      source.toAll(syncPacket());
      await incoming.completed;
      await source.close();
      expect(await readdir(folder)).toEqual(['out.img']);
      const report = await inspectImage(image);
      expect(report.blocks.map(({ id }) => id)).toEqual(ids);
      expect((await readFile(image)).length).toBeGreaterThan(ids.length * 2 ** 20 - 1);
    });
  });

  it.each(['__proto__', 'constructor', 'toString'])(
    '%s is no target that was given',
    async (id) => {
      const error = await refusal({ blocks: {} }, (source) => {
        source.toAll(syncPacket());
        source.main.put(H, start([{ id, length: PAGE }]));
      });
      expect(error.code).toBe('ERR_BLOCK');
    },
  );
});

describe('a source with a return path', () => {
  const failing = concat(openReturnPath(), S, flush(), endOfSection(), part(), word(0, Word.HOOK));

  it('hears of a failure, in the middle of what it sends', async () => {
    await leavingNothing(async () => {
      let heard: Promise<Buffer> | undefined;
      const error = await refusal({ uri: 'tcp:127.0.0.1:0' }, (source) => {
        source.toAll(syncPacket());
        source.main.put(H, failing, new Uint8Array(32 << 20));
        heard = source.main.rest().finally(() => source.main.end());
      });
      expect(error.code).toBe('ERR_UNSUPPORTED');
      expect(Uint8Array.from(await heard!)).toEqual(shut(1));
    });
  });

  it('that never hangs up does not keep the target', async () => {
    await leavingNothing(async () => {
      const error = await refusal({}, (source) => {
        source.toAll(syncPacket());
        source.main.put(H, failing);
      });
      expect(error.code).toBe('ERR_UNSUPPORTED');
    });
  });

  it('gets its pings answered', async () => {
    await leavingNothing(async () => {
      const { error } = await receiving(
        { blocks: { ram: new Uint8Array(16 * PAGE) } },
        async (uri) => {
          const source = await Source.connect(uri, 2);
          source.main.put(H, openReturnPath(), command(2, be32(0xdecade)));
          expect(Uint8Array.from(await source.main.take(8))).toEqual(
            concat(Uint8Array.of(0, 2, 0, 4), be32(0xdecade)),
          );
          source.toAll(syncPacket());
          source.main.put(S, flush(), endOfSection(), end(), endOfSection(), endOfFile());
          expect(Uint8Array.from(await source.main.take(8))).toEqual(shut(0));
          return source;
        },
      );
      expect(error).toBeUndefined();
    });
  });

  it('is told nothing it did not ask for when it has none', async () => {
    await leavingNothing(async () => {
      let heard: Promise<Buffer> | undefined;
      const error = await refusal({}, (source) => {
        heard = source.main.rest();
        source.main.put(H, command(2, be32(1)), text('garbage'));
      });
      expect(error.code).toBe('ERR_STREAM');
      expect((await heard!).length).toBe(0);
    });
  });
});
