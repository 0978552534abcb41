import { describe, expect, test } from 'vitest';
import { blockLengthFor, planImage } from '../../../src/image/index.ts';
import { bytes } from '../../support/stream.ts';
import { CONFIGURATION } from '../../support/image.ts';

const MIB = 1024 * 1024;

/** The blocks of a `pc` machine of QEMU 10.0 with 64 MiB, and where its image has them. */
const PC = [
  { id: 'pc.ram', usedLength: 0x4000000, bitmapOffset: 0x8e, pagesOffset: 0x100000 },
  {
    id: '/rom@etc/acpi/tables',
    usedLength: 0x20000,
    bitmapOffset: 0x4100039,
    pagesOffset: 0x4200000,
  },
  { id: 'pc.bios', usedLength: 0x40000, bitmapOffset: 0x422002c, pagesOffset: 0x4300000 },
  { id: 'pc.rom', usedLength: 0x20000, bitmapOffset: 0x434002b, pagesOffset: 0x4400000 },
  {
    id: '/rom@etc/table-loader',
    usedLength: 0x1000,
    bitmapOffset: 0x442003a,
    pagesOffset: 0x4500000,
  },
  { id: '/rom@etc/acpi/rsdp', usedLength: 0x1000, bitmapOffset: 0x4501037, pagesOffset: 0x4600000 },
];

describe('the layout of an image', () => {
  test('is the one QEMU 10.0 gives a machine', () => {
    const plan = planImage({
      configuration: { machine: 'pc-i440fx-10.0', capabilities: [] },
      blocks: PC,
      pageSize: 4096,
    });
    expect(plan.blocks.map(({ bitmapLength: _, ...block }) => block)).toEqual(PC);
    expect(plan.blocks.map((block) => block.bitmapLength)).toEqual([2048, 8, 8, 8, 8, 8]);
  });

  test('counts its positions, and the 1 MiB boundaries, from the start of the file', () => {
    const configuration = { machine: 'pc-i440fx-10.0', capabilities: ['mapped-ram'] };
    const plan = planImage({ configuration, blocks: PC, pageSize: 4096, offset: 12345 });
    expect(plan.blocks[0]).toMatchObject({ bitmapOffset: 0x30c7, pagesOffset: 0x100000 });
    expect(plan.pieces[0]?.position).toBe(12345);
  });

  test('is byte for byte this, for one block of one page', () => {
    const { pieces, tailOffset } = planImage({
      configuration: CONFIGURATION,
      blocks: [{ id: 'x', usedLength: 4096 }],
      pageSize: 4096,
    });
    const whole = new Uint8Array(tailOffset);
    for (const { position, bytes: piece } of pieces) whole.set(piece, position);
    const head = bytes(
      "'QEVM",
      '00000003 07 00000004',
      "'test",
      '05 1a',
      "'configuration/capabilities",
      '00000001 00000001 0a',
      "'mapped-ram",
      '01 00000001 03',
      "'ram",
      '00000000 00000004',
      '0000000000001004',
      '01',
      "'x",
      '0000000000001000',
      '00000001 0000000000001000 000000000000007f 0000000000100000',
    );
    expect(head.length).toBe(0x7f);
    expect(whole.subarray(0, head.length)).toEqual(head);
    expect(whole.subarray(head.length, MIB + 4096).every((byte) => byte === 0)).toBe(true);
    expect(whole.subarray(MIB + 4096)).toEqual(
      bytes('0000000000000010 7e 00000001 03 00000001 0000000000000010 7e 00000001'),
    );
  });

  test('a bitmap that fills the gap to the boundary exactly', () => {
    const small = planImage({
      configuration: CONFIGURATION,
      blocks: [{ id: 'x', usedLength: 4096 }],
      pageSize: 4096,
    });
    const machine = `test${'y'.repeat((8 - (small.blocks[0]!.bitmapOffset % 8)) % 8)}`;
    const pages = (MIB - small.blocks[0]!.bitmapOffset - (machine.length - 4)) * 8;
    const at = (count: number): number | undefined =>
      planImage({
        configuration: { ...CONFIGURATION, machine },
        blocks: [{ id: 'x', usedLength: count * 4096 }],
        pageSize: 4096,
      }).blocks[0]?.pagesOffset;
    expect(at(pages)).toBe(MIB);
    expect(at(pages + 1)).toBe(2 * MIB);
  });

  test.each([
    ['ERR_OPTION', { offset: -1 }],
    ['ERR_OPTION', { offset: 1.5 }],
    ['ERR_OPTION', { pageSize: 1000 }],
    ['ERR_BLOCK_LENGTH', { blocks: [{ id: 'x', usedLength: 1 }] }],
    ['ERR_BLOCK_LENGTH', { blocks: [{ id: 'x', usedLength: 0 }] }],
    [
      'ERR_BLOCK',
      {
        blocks: [
          { id: 'x', usedLength: 4096 },
          { id: 'x', usedLength: 4096 },
        ],
      },
    ],
    ['ERR_OPTION', { blocks: [{ id: '', usedLength: 4096 }] }],
  ])('%s for %o', (code, wrong) => {
    expect(() =>
      planImage({ configuration: CONFIGURATION, blocks: [], pageSize: 4096, ...wrong }),
    ).toThrow(expect.objectContaining({ code }));
  });

  test.each([
    [0, 4096],
    [1, 4096],
    [4096, 4096],
    [4097, 8192],
  ])('a file of %i bytes is a block of %i', (length, expected) => {
    expect(blockLengthFor(length, 4096)).toBe(expected);
  });
});
