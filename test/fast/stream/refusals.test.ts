import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../../src/util/errors.ts';
import type { ParseOptions } from '../../../src/stream/index.ts';
import { bytes, parse, PIECES, stream } from '../../support/stream.ts';

type Case = [
  what: string,
  code: ErrorCode,
  replaced: Partial<typeof PIECES>,
  options?: ParseOptions,
];

const uuidSection = bytes('05 12', "'configuration/uuid", '00000001', new Uint8Array(16).fill(1));
const capability = (name: string): Uint8Array =>
  bytes('05 1a', "'configuration/capabilities", '00000001 00000001', name.length, `'${name}`);
const named = (length: number, id: string | Uint8Array, used: string): Uint8Array =>
  bytes(length, typeof id === 'string' ? `'${id}` : id, used);

/** MEM_SIZE in a later section: the first block is two pages longer. */
const GROWN = bytes(
  '0000000000007004',
  named(4, 'one!', '0000000000005000'),
  named(5, 'a/two', '0000000000002000'),
);

const cases: Case[] = [
  ['other magic', 'ERR_MAGIC', { magic: bytes("'QEVN", '00000003') }],
  ['other version', 'ERR_VERSION', { magic: bytes("'QEVM", '00000002') }],
  ['no configuration', 'ERR_STREAM', { configuration: bytes() }],
  ['empty machine type', 'ERR_STREAM', { configuration: bytes('07 00000000') }],
  ['endless machine type', 'ERR_STREAM', { configuration: bytes('07 ffffffff', "'test") }],
  [
    'unknown configuration subsection',
    'ERR_UNSUPPORTED',
    { configuration: bytes(PIECES.configuration, '05 03', "'abc", '00000001') },
  ],
  [
    'unknown version of a subsection',
    'ERR_VERSION',
    { configuration: bytes(PIECES.configuration, '05 12', "'configuration/uuid", '00000002') },
  ],
  [
    'a subsection twice',
    'ERR_STREAM',
    { configuration: bytes(PIECES.configuration, uuidSection, uuidSection) },
  ],
  [
    'too many capabilities',
    'ERR_STREAM',
    {
      configuration: bytes(
        PIECES.configuration,
        '05 1a',
        "'configuration/capabilities",
        '00000001 ffffffff',
      ),
    },
  ],
  [
    'a capability that is not known',
    'ERR_UNSUPPORTED',
    { configuration: bytes(PIECES.configuration, capability('x-another')) },
  ],
  [
    'mapped-ram on a connection',
    'ERR_UNSUPPORTED',
    { configuration: bytes(PIECES.configuration, capability('mapped-ram')) },
  ],
  [
    'another uuid',
    'ERR_UUID',
    { configuration: bytes(PIECES.configuration, uuidSection) },
    { uuid: new Uint8Array(16).fill(2) },
  ],
  [
    'blocks that are no multiple of the pages told',
    'ERR_BLOCK_LENGTH',
    {
      configuration: bytes(
        PIECES.configuration,
        '05 1e',
        "'configuration/target-page-bits",
        '00000001 00000010',
      ),
    },
  ],
  [
    'absurd page bits',
    'ERR_UNSUPPORTED',
    {
      configuration: bytes(
        PIECES.configuration,
        '05 1e',
        "'configuration/target-page-bits",
        '00000001 ffffffff',
      ),
    },
  ],

  ['unknown command', 'ERR_STREAM', { command: bytes('08 000c 0000') }],
  ['command 0', 'ERR_STREAM', { command: bytes('08 0000 0000') }],
  ['wrong command length', 'ERR_STREAM', { command: bytes('08 0001 0001 00') }],
  ['PING of the wrong length', 'ERR_STREAM', { command: bytes('08 0002 0003 000000') }],
  ['COLO', 'ERR_UNSUPPORTED', { command: bytes('08 0008 0000') }],
  // Postcopy's, where they mean nothing, and with lengths that mean nothing.
  ...[4, 5, 7, 9, 10].map(
    (command): Case => [
      `command ${command}`,
      'ERR_STREAM',
      { command: bytes('08 00', command, '0000') },
    ],
  ),
  ['half an ADVISE', 'ERR_STREAM', { command: bytes('08 0003 0008 0000000000001000') }],
  [
    'an ADVISE with no page size',
    'ERR_STREAM',
    { command: bytes('08 0003 0010 0000000000001000 0000000000001001') },
  ],

  ['unknown section type', 'ERR_STREAM', { start: bytes('09 00000001') }],
  [
    'another section in the place of ram',
    'ERR_PEER_CLOSED',
    { start: bytes('01 00000001 03', "'vga", '00000000 00000001') },
  ],
  [
    'device state in the place of ram',
    'ERR_PEER_CLOSED',
    { start: bytes('04 00000001 03', "'vga", '00000000 00000001') },
  ],
  [
    'ram as a FULL section',
    'ERR_PEER_CLOSED',
    { start: bytes('04 00000001 03', "'ram", '00000000 00000004') },
  ],
  [
    'another instance of ram',
    'ERR_PEER_CLOSED',
    { start: bytes('01 00000001 03', "'ram", '00000001 00000004') },
  ],
  [
    'another version of ram',
    'ERR_VERSION',
    { start: bytes('01 00000001 03', "'ram", '00000000 00000005') },
  ],
  ['ram started twice', 'ERR_STREAM', { part: bytes(PIECES.start, PIECES.memSize) }],
  ['a part before the start', 'ERR_STREAM', { start: PIECES.part }],
  ['a part of another section', 'ERR_STREAM', { part: bytes('02 00000002') }],
  ['EOF before the end of ram', 'ERR_STREAM', { end: bytes('00') }],
  ['no footer', 'ERR_STREAM', { startEnd: bytes('0000000000000010 02 00000001') }],
  ["another section's footer", 'ERR_STREAM', { startEnd: bytes('0000000000000010 7e 00000002') }],

  ['no MEM_SIZE', 'ERR_STREAM', { memSize: bytes(), blocks: bytes(), startContent: bytes() }],
  [
    'a flush before the block list',
    'ERR_STREAM',
    { memSize: bytes(PIECES.startContent, PIECES.memSize) },
  ],
  ['MEM_SIZE twice', 'ERR_STREAM', { startContent: PIECES.memSize }],
  [
    'MEM_SIZE in a PART of a stream that flushes per section',
    'ERR_STREAM',
    { startContent: bytes(), partContent: GROWN, endContent: bytes() },
  ],
  ['MEM_SIZE in an END', 'ERR_STREAM', { endContent: GROWN }],
  [
    'MEM_SIZE and a page before the flush',
    'ERR_STREAM',
    { partContent: bytes(GROWN, '0000000000001002 04', "'one!", '00', PIECES.startContent) },
  ],
  ['MEM_SIZE and no flush', 'ERR_STREAM', { partContent: GROWN }],
  [
    'MEM_SIZE twice without a flush between',
    'ERR_STREAM',
    { partContent: bytes(GROWN, GROWN, PIECES.startContent) },
  ],
  [
    'a block that shrinks',
    'ERR_BLOCK_LENGTH',
    {
      partContent: bytes(
        '0000000000006004',
        named(4, 'one!', '0000000000002000'),
        named(5, 'a/two', '0000000000004000'),
      ),
    },
  ],
  [
    'a block that is another one later',
    'ERR_BLOCK',
    {
      partContent: bytes(
        '0000000000005004',
        named(4, 'one?', '0000000000003000'),
        named(5, 'a/two', '0000000000002000'),
      ),
    },
  ],
  [
    'blocks in another order later',
    'ERR_BLOCK',
    {
      partContent: bytes(
        '0000000000005004',
        named(5, 'a/two', '0000000000002000'),
        named(4, 'one!', '0000000000003000'),
      ),
    },
  ],
  [
    'a block less later',
    'ERR_BLOCK',
    { partContent: bytes('0000000000003004', named(4, 'one!', '0000000000003000')) },
  ],
  ['no blocks at all later', 'ERR_BLOCK', { partContent: bytes('0000000000000004') }],
  [
    'a block more later',
    'ERR_BLOCK',
    { partContent: bytes('0000000000006004', PIECES.blocks, named(1, 'x', '0000000000001000')) },
  ],
  [
    'a later length that is no page multiple',
    'ERR_BLOCK_LENGTH',
    {
      partContent: bytes(
        '0000000000006004',
        named(4, 'one!', '0000000000003800'),
        named(5, 'a/two', '0000000000002800'),
      ),
    },
    { pageSize: 4096 },
  ],
  [
    'growth beyond what is allowed',
    'ERR_BLOCK_LENGTH',
    { partContent: GROWN },
    { maxBytes: 0x6fff },
  ],
  [
    'a page beyond the length before the growth',
    'ERR_PAGE_OFFSET',
    { partContent: bytes('0000000000003002 04', "'one!", '00', GROWN, PIECES.startContent) },
  ],
  [
    'a page beyond the length after the growth',
    'ERR_PAGE_OFFSET',
    { partContent: bytes(GROWN, PIECES.startContent, '0000000000005002 04', "'one!", '00') },
  ],
  ['lengths beyond the total', 'ERR_BLOCK_LENGTH', { memSize: bytes('0000000000004004') }],
  ['lengths short of the total', 'ERR_BLOCK', { memSize: bytes('0000000000006004') }],
  [
    'a length that is no page multiple',
    'ERR_BLOCK_LENGTH',
    { blocks: named(1, 'x', '0000000000001800') },
    { pageSize: 4096 },
  ],
  ['a length beyond 2^53', 'ERR_STREAM', { blocks: named(1, 'x', '0100000000000000') }],
  ['more memory than allowed', 'ERR_BLOCK_LENGTH', {}, { maxBytes: 0x4fff }],
  [
    'more memory than allowed by default',
    'ERR_BLOCK_LENGTH',
    { memSize: bytes('0000010000001004') },
  ],
  ['more blocks than allowed', 'ERR_BLOCK', {}, { maxBlocks: 1 }],
  ['an empty name', 'ERR_BLOCK', { blocks: bytes('00 0000000000005000') }],
  ['a name with a NUL', 'ERR_BLOCK', { blocks: named(3, 'a\0b', '0000000000005000') }],
  ['a name with a line feed', 'ERR_BLOCK', { blocks: named(3, 'a\nb', '0000000000005000') }],
  [
    'a name that is not UTF-8',
    'ERR_BLOCK',
    { blocks: named(2, bytes('c328'), '0000000000005000') },
  ],
  [
    'a block twice',
    'ERR_BLOCK',
    { blocks: bytes(named(1, 'x', '0000000000003000'), named(1, 'x', '0000000000002000')) },
  ],

  [
    'a page of an unknown block',
    'ERR_BLOCK',
    { partContent: bytes('0000000000000002 05', "'three", '00') },
  ],
  ['CONTINUE without a block', 'ERR_STREAM', { partContent: bytes('0000000000000022 00') }],
  [
    'a zero page past its block',
    'ERR_PAGE_OFFSET',
    { partContent: bytes('0000000000003002 04', "'one!", '00') },
  ],
  [
    'a page past its block',
    'ERR_PAGE_OFFSET',
    { partContent: bytes('0000000000002008 05', "'a/two", new Uint8Array(4096)) },
  ],
  [
    'a page far past its block',
    'ERR_PAGE_OFFSET',
    { partContent: bytes('001ffffffffff002 04', "'one!", '00') },
  ],
  [
    'a word beyond 2^53',
    'ERR_STREAM',
    { partContent: bytes('0020000000000002 04', "'one!", '00') },
  ],
  [
    'a zero page that is not zero',
    'ERR_STREAM',
    { partContent: bytes('0000000000000002 04', "'one!", '01') },
  ],
  ['XBZRLE', 'ERR_UNSUPPORTED', { partContent: bytes('0000000000000040') }],
  ['RDMA', 'ERR_UNSUPPORTED', { partContent: bytes('0000000000000080') }],
  ['old compression', 'ERR_UNSUPPORTED', { partContent: bytes('0000000000000100') }],
  ['no flags', 'ERR_STREAM', { partContent: bytes('0000000000000000') }],
  ['flag 1', 'ERR_STREAM', { partContent: bytes('0000000000000001') }],
  ['flag 0x400', 'ERR_STREAM', { partContent: bytes('0000000000000400') }],
  ['two kinds at once', 'ERR_STREAM', { partContent: bytes('000000000000000a') }],
  ['EOS with an offset', 'ERR_STREAM', { partEnd: bytes('0000000000001010 7e 00000001') }],
  ['EOS with CONTINUE', 'ERR_STREAM', { partEnd: bytes('0000000000000030 7e 00000001') }],
  ['a flush with an offset', 'ERR_STREAM', { partContent: bytes('0000000000001200') }],

  [
    'too much device state',
    'ERR_STREAM',
    { tail: new Uint8Array(2000).fill(4) },
    { maxTail: 1000 },
  ],
  ['device state without an end', 'ERR_PEER_CLOSED', { tail: new Uint8Array(2000).fill(4) }],
  ['a page size that is no power of two', 'ERR_OPTION', {}, { pageSize: 5000 }],
  ['a page size below a RAM word', 'ERR_OPTION', {}, { pageSize: 512 }],
];

describe('refused, with the code and the place', () => {
  test.each(cases)('%s: %s', async (_what, code, replaced, options) => {
    const error: unknown = await parse(stream(replaced), options).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code });
    if (code !== 'ERR_OPTION')
      expect(error).toMatchObject({ channel: 'main', offset: expect.any(Number) });
  });

  test('the stream they are made from is accepted', async () => {
    await expect(parse(stream())).resolves.toBeDefined();
  });

  test('a page off its boundary when pages are larger than a RAM word', async () => {
    const partContent = bytes('0000000000001002 01', "'x", '00');
    const larger = {
      memSize: bytes('0000000000008004'),
      blocks: named(1, 'x', '0000000000008000'),
      partContent,
    };
    await expect(parse(stream(larger), { pageSize: 8192 })).rejects.toMatchObject({
      code: 'ERR_PAGE_OFFSET',
    });
  });
});
