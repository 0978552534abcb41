import { describe, expect, test } from 'vitest';
import {
  blockEntry,
  buildTail,
  flushWord,
  openReturnPath,
  ramEnd,
  ramPart,
  ramResize,
  ramSectionEnd,
  ramStart,
  streamHeader,
  withCapability,
  withoutCapability,
  zeroPage,
  type Configuration,
} from '../../../src/stream/index.ts';
import { bytes, parse, PIECES, stream } from '../../support/stream.ts';

const BLOCKS = [
  { id: 'one!', usedLength: 0x3000 },
  { id: 'a/two', usedLength: 0x2000 },
];
const PLAIN: Configuration = { machine: 'test', capabilities: [] };
const UUID = bytes('000102030405060708090a0b0c0d0e0f');

describe('the writer', () => {
  test('writes the pieces byte for byte', () => {
    expect(streamHeader(PLAIN)).toEqual(bytes(PIECES.magic, PIECES.configuration));
    expect(openReturnPath()).toEqual(PIECES.command);
    expect(ramStart(BLOCKS, 4096)).toEqual(bytes(PIECES.start, PIECES.memSize));
    expect(bytes(...BLOCKS.map(blockEntry))).toEqual(PIECES.blocks);
    expect(ramResize(BLOCKS, 4096)).toEqual(bytes(PIECES.memSize, PIECES.blocks));
    expect(flushWord()).toEqual(PIECES.startContent);
    expect(ramPart()).toEqual(PIECES.part);
    expect(
      bytes(
        zeroPage('one!', 0x1000),
        zeroPage(undefined, 0x2000),
        zeroPage('a/two', 0),
        flushWord(),
      ),
    ).toEqual(PIECES.partContent);
    expect(ramEnd()).toEqual(PIECES.end);
    expect(ramSectionEnd()).toEqual(PIECES.endEnd);
    expect(buildTail([], 4096)).toEqual(PIECES.tail);
  });

  test("subsections come in QEMU's order", () => {
    const header = streamHeader({
      machine: 'm',
      capabilities: ['mapped-ram'],
      uuid: UUID,
      targetPageBits: 12,
    });
    expect(header).toEqual(
      bytes(
        PIECES.magic,
        '07 00000001',
        "'m",
        '05 1e',
        "'configuration/target-page-bits",
        '00000001 0000000c',
        '05 1a',
        "'configuration/capabilities",
        '00000001 00000001 0a',
        "'mapped-ram",
        '05 12',
        "'configuration/uuid",
        '00000001',
        UUID,
      ),
    );
  });

  test('a block entry of a mapped-ram file', () => {
    const mapped = { pageSize: 4096, bitmapOffset: 0x8e, pagesOffset: 0x100000 };
    expect(blockEntry({ id: 'pc.ram', usedLength: 0x4000000, mapped })).toEqual(
      bytes(
        '06',
        "'pc.ram",
        '0000000004000000 00000001 0000000000001000 000000000000008e 0000000000100000',
      ),
    );
  });

  test('the capabilities subsection appears with the first and goes with the last', () => {
    const mapped = withCapability(PLAIN, 'mapped-ram');
    expect(mapped.capabilities).toEqual(['mapped-ram']);
    expect(withCapability(mapped, 'mapped-ram')).toEqual(mapped);
    expect(streamHeader(withoutCapability(mapped, 'mapped-ram'))).toEqual(streamHeader(PLAIN));
  });

  test('what it writes is read back', async () => {
    const configuration = { machine: 'box', capabilities: [], uuid: UUID, targetPageBits: 12 };
    const { events } = await parse(
      stream({ magic: streamHeader(configuration), configuration: bytes() }),
    );
    expect(events[0]).toEqual(['configuration', configuration]);
  });

  test('offsets past 4 GiB', () => {
    expect(zeroPage(undefined, 2 ** 40 + 4096)).toEqual(bytes('0000010000001022 00'));
  });

  test.each([
    ['ERR_OPTION', () => ramStart(BLOCKS, 5000)],
    ['ERR_BLOCK', () => ramStart([...BLOCKS, ...BLOCKS], 4096)],
    ['ERR_BLOCK_LENGTH', () => ramStart([{ id: 'x', usedLength: 100 }], 4096)],
    ['ERR_BLOCK_LENGTH', () => ramStart([...BLOCKS, { id: 'x', usedLength: 0 }], 4096)],
    ['ERR_BLOCK_LENGTH', () => ramStart([{ id: 'x', usedLength: 2 ** 53 }], 4096)],
    ['ERR_OPTION', () => ramResize(BLOCKS, 5000)],
    ['ERR_BLOCK', () => ramResize([...BLOCKS, ...BLOCKS], 4096)],
    ['ERR_BLOCK_LENGTH', () => ramResize([{ id: 'x', usedLength: 100 }], 4096)],
    ['ERR_OPTION', () => ramResize([{ id: '', usedLength: 4096 }], 4096)],
    ['ERR_OPTION', () => blockEntry({ id: '', usedLength: 0 })],
    ['ERR_OPTION', () => blockEntry({ id: 'é'.repeat(128), usedLength: 0 })],
    ['ERR_OPTION', () => blockEntry({ id: 'a\0b', usedLength: 0 })],
    ['ERR_OPTION', () => streamHeader({ machine: '', capabilities: [] })],
    ['ERR_OPTION', () => streamHeader({ ...PLAIN, uuid: UUID.subarray(1) })],
  ] as const)('%s for what no reader would take (%#)', (code, write) => {
    expect(write).toThrow(expect.objectContaining({ code }));
  });
});
