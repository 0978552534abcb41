import { describe, expect, test } from 'vitest';
import {
  describeDevices,
  type DeviceContent,
  type DeviceField,
  readTail,
} from '../../../src/stream/index.ts';
import { coverage } from '../../support/devices.ts';
import { bytes } from '../../support/stream.ts';

/** A tail of one section "dev", and its description. */
function tailOf(content: Uint8Array, description: object): Uint8Array {
  const text = new TextEncoder().encode(
    JSON.stringify({
      devices: [{ name: 'dev', instance_id: 0, version: 1, vmsd_name: 'vm/dev', ...description }],
    }),
  );
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, text.length);
  return bytes(
    '04 00000009 03',
    "'dev",
    '00000000 00000001',
    content,
    '7e 00000009',
    '00 06',
    new Uint8Array(length.buffer),
    text,
  );
}

/** Describes one device with this content, and checks that its fields cover it. */
function decode(content: Uint8Array, ...fields: object[]): readonly DeviceField[] {
  const [device] = describeDevices(tailOf(content, { fields }))!;
  expect(coverage(device!)).toBe(content.length);
  return device!.fields;
}

describe('a field of type', () => {
  test.each<[string, string, number | bigint]>([
    ['uint8', 'ff', 255],
    ['int8', 'ff', -1],
    ['uint16', 'fffe', 65534],
    ['int16', 'fffe', -2],
    ['uint32', '80000001', 0x80000001],
    ['int32', '80000000', -0x80000000],
    ['uint64', 'ffffffffffffffff', 2n ** 64n - 1n],
    ['int64', 'fffffffffffffffe', -2n],
    ['int32 equal', '00000007', 7],
    ['int32 le', '00000002', 2],
    ['uint8 equal', '09', 9],
    ['timer', 'ffffffffffffffff', -1n],
  ])('%s is an integer', (type, content, value) => {
    const size = content.length / 2;
    expect(decode(bytes(content), { name: 'x', type, size })).toEqual([
      { name: 'x', type, offset: 0, size, kind: 'integer', value },
    ]);
  });

  test('bool is one, unless it is neither 0 nor 1', () => {
    const field = { name: 'x', type: 'bool', size: 1 };
    expect(decode(bytes('00 01 02'), field, field, field)).toMatchObject([
      { kind: 'bool', value: false },
      { kind: 'bool', value: true },
      { kind: 'bytes', bytes: bytes('02') },
    ]);
  });

  test.each([
    'buffer',
    'unused_buffer',
    'bitmap',
    'str',
    'nullptr',
    'CPU_Double_U',
    'pci config',
    'virtio',
    'of tomorrow',
    '',
  ])('"%s" is bytes', (type) => {
    expect(decode(bytes('010203'), { name: 'x', type, size: 3 })).toEqual([
      { name: 'x', type, offset: 0, size: 3, kind: 'bytes', bytes: bytes('010203') },
    ]);
  });

  test('qtailq is bytes, and says that its elements are not told', () => {
    const list = (size: number): object => ({ name: 'x', type: 'qtailq', size });
    expect(decode(bytes('010500'), list(3))).toMatchObject([
      { kind: 'bytes', bytes: bytes('010500'), note: expect.stringContaining('not described') },
    ]);
    expect(decode(bytes('00'), list(1))[0]).not.toHaveProperty('note');
  });

  test.each([
    ['uint32', 2],
    ['uint64', 9],
    ['timer', 4],
    ['uint24 equal', 3],
    ['uint32', 0],
  ])('%s in %i bytes is bytes', (type, size) => {
    expect(decode(new Uint8Array(size), { name: 'x', type, size })).toMatchObject([
      { kind: 'bytes', bytes: new Uint8Array(size) },
    ]);
  });

  test('none, with no name: bytes', () => {
    expect(decode(bytes('aa'), { size: 1 })).toMatchObject([{ name: '', type: '', kind: 'bytes' }]);
    expect(decode(bytes('aa'), { name: 3, type: {}, size: 1 })).toMatchObject([
      { name: '', type: '', kind: 'bytes' },
    ]);
  });
});

describe('arrays', () => {
  test('of integers, of structs, of none', () => {
    const pair = {
      vmsd_name: 'pair',
      version: 2,
      fields: [
        { name: 'a', type: 'uint8', size: 1 },
        { name: 'b', type: 'uint16', size: 2 },
      ],
    };
    const [numbers, structs, none, empty] = decode(
      bytes('0001 0002', '01 0002 03 0004'),
      { name: 'n', type: 'uint16', size: 2, array_len: 2 },
      { name: 's', type: 'struct', size: 3, array_len: 2, struct: pair },
      { name: 'z', type: 'uint16', size: 2, array_len: 0 },
      { name: 'e', type: 'buffer', size: 0, array_len: 2 ** 40 },
    );
    expect(numbers).toEqual({
      name: 'n',
      type: 'uint16',
      offset: 0,
      size: 4,
      kind: 'array',
      elements: [
        { name: 'n', type: 'uint16', offset: 0, size: 2, index: 0, kind: 'integer', value: 1 },
        { name: 'n', type: 'uint16', offset: 2, size: 2, index: 1, kind: 'integer', value: 2 },
      ],
    });
    expect(structs).toMatchObject({
      offset: 4,
      size: 6,
      kind: 'array',
      elements: [
        {
          kind: 'struct',
          struct: {
            layout: 'pair',
            version: 2,
            fields: [
              { offset: 4, value: 1 },
              { offset: 5, value: 2 },
            ],
          },
        },
        {
          kind: 'struct',
          struct: {
            fields: [
              { offset: 7, value: 3 },
              { offset: 8, value: 4 },
            ],
          },
        },
      ],
    });
    expect(none).toMatchObject({ offset: 10, size: 0, kind: 'bytes' });
    expect(empty).toMatchObject({ offset: 10, size: 0, kind: 'bytes' });
  });

  test('whose structs are described one by one are told by their order, with an index or without', () => {
    const struct = { fields: [{ name: 'v', type: 'uint8', size: 1 }] };
    const element = (more: object = {}): object => ({
      name: 'x',
      type: 'struct',
      size: 1,
      struct,
      ...more,
    });
    const other = { name: 'y', type: 'struct', size: 1, struct };
    const indices = (...fields: object[]): unknown[] =>
      decode(bytes('0506070809').subarray(0, fields.length), ...fields).map(({ index }) => index);
    expect(indices(element(), element(), element(), other)).toEqual([0, 1, 2, undefined]);
    // QEMU 10.0 leaves the last one's away.
    expect(indices(element({ index: 0 }), element({ index: 1 }), element())).toEqual([0, 1, 2]);
    expect(indices(element(), other, element())).toEqual([undefined, undefined, undefined]);
    const [array, last] = decode(bytes('050607'), element({ array_len: 2 }), element());
    expect(array).toMatchObject({ kind: 'array', elements: [{ index: 0 }, { index: 1 }] });
    expect(last).toMatchObject({ index: 2 });
  });

  test('of pointers have an element for each marker, with what is behind it', () => {
    const marker = { name: 'p', type: 'ptr-marker', size: 1 };
    const struct = { fields: [{ name: 'v', type: 'uint16', size: 2 }] };
    const target = { name: 'p', type: 'struct', size: 2, struct };
    const [pointers, ...others] = decode(
      bytes('31 0005 30 31 0006 30 30 09'),
      ...[marker, target, marker, marker, target, { ...marker, array_len: 2 }],
      { name: 'q', type: 'uint8', size: 1 },
    );
    expect(others).toMatchObject([{ name: 'q', value: 9, offset: 9 }]);
    const pointer = (index: number, offset: number, value?: number): object => ({
      name: 'p',
      type: 'ptr-marker',
      index,
      offset,
      size: value === undefined ? 1 : 3,
      kind: 'pointer',
      ...(value !== undefined && {
        target: expect.objectContaining({
          kind: 'struct',
          offset: offset + 1,
          struct: expect.objectContaining({ fields: [expect.objectContaining({ value })] }),
        }),
      }),
    });
    expect(pointers).toEqual({
      name: 'p',
      type: 'ptr-marker',
      offset: 0,
      size: 9,
      kind: 'array',
      elements: [pointer(0, 0, 5), pointer(1, 3), pointer(2, 4, 6), pointer(3, 7), pointer(4, 8)],
    });
  });

  test('of pointers that have a marker for nothing alone (s390_css)', () => {
    const nothing = { name: 'css', type: 'nullptr', size: 1 };
    const struct = { fields: [{ name: 'v', type: 'uint8', size: 1 }] };
    expect(
      decode(
        bytes('3030 07 30'),
        { ...nothing, array_len: 2 },
        { name: 'css', type: 'struct', size: 1, struct },
        nothing,
      ),
    ).toMatchObject([
      {
        kind: 'array',
        size: 4,
        elements: [
          { kind: 'pointer', index: 0 },
          { kind: 'pointer', index: 1 },
          { kind: 'struct', index: 2, offset: 2 },
          { kind: 'pointer', index: 3 },
        ],
      },
    ]);
  });

  test.each([
    ['neither 0 nor 1', '32', { kind: 'bytes' }],
    ['1 with nothing behind it', '31', { kind: 'bytes' }],
    ['0', '30', { kind: 'pointer', size: 1 }],
  ])('a single pointer whose marker is %s', (_what, content, found) => {
    const [pointer] = decode(bytes(content), { name: 'p', type: 'ptr-marker', size: 1 });
    expect(pointer).toMatchObject(found);
    expect(pointer).not.toHaveProperty('target');
  });

  test('in subsections too', () => {
    const fields = [0, 1].map(() => ({ name: 'p', type: 'ptr-marker', size: 1 }));
    const tail = tailOf(bytes('05 03', "'sub", '00000001 3030'), {
      fields: [],
      subsections: [{ vmsd_name: 'sub', version: 1, fields }],
    });
    const [device] = describeDevices(tail)!;
    expect(device!.subsections[0]!.fields).toMatchObject([{ kind: 'array', size: 2 }]);
  });

  test('whose elements are described one by one keep their index', () => {
    const element = (index: number): object => ({ name: 'x', index, type: 'uint8', size: 1 });
    expect(decode(bytes('05 06'), element(0), element(1))).toMatchObject([
      { index: 0, value: 5 },
      { index: 1, value: 6 },
    ]);
  });
});

describe('structs', () => {
  test('with structs and subsections of their own', () => {
    const inner = {
      vmsd_name: 'in',
      version: 1,
      fields: [{ name: 'x', type: 'uint8', size: 1 }],
      subsections: [
        { vmsd_name: 'in/s', version: 3, fields: [{ name: 'y', type: 'bool', size: 1 }] },
      ],
    };
    const content = bytes('aa', '05 04', "'in/s", '00000003 01', 'bb');
    const [field, last] = decode(
      content,
      {
        name: 's',
        type: 'struct',
        size: 12,
        struct: { fields: [{ name: 't', type: 'struct', size: 12, struct: inner }] },
      },
      { name: 'l', type: 'uint8', size: 1 },
    );
    expect(field).toMatchObject({
      kind: 'struct',
      struct: {
        subsections: [],
        fields: [
          {
            name: 't',
            struct: {
              fields: [{ value: 0xaa }],
              subsections: [
                { layout: 'in/s', version: 3, offset: 1, fields: [{ offset: 11, value: true }] },
              ],
            },
          },
        ],
      },
    });
    expect(last).toMatchObject({ offset: 12, value: 0xbb });
  });

  test('that a type saves by means of one have their fields in the field itself', () => {
    const field = {
      name: 'tmp',
      type: 'tmp',
      vmsd_name: 'fpreg_tmp',
      version: 0,
      fields: [{ name: 'm', type: 'uint8', size: 1 }],
      size: 1,
    };
    expect(decode(bytes('07'), field)).toMatchObject([
      {
        type: 'tmp',
        kind: 'struct',
        struct: { layout: 'fpreg_tmp', version: 0, fields: [{ value: 7 }] },
      },
    ]);
  });

  const one = { name: 'x', type: 'uint8', size: 1 };
  test.each([
    ['fields that are too short', { fields: [one] }],
    ['fields that are too long', { fields: [one, one, one] }],
    ['fields that are no list', { fields: 'x' }],
    ['a field that is no object', { fields: [one, null] }],
    ['a field without a size', { fields: [one, { name: 'y' }] }],
    [
      'a field of a negative size',
      {
        fields: [
          { ...one, size: 3 },
          { ...one, size: -1 },
        ],
      },
    ],
    ['an array that is longer than all memory', { fields: [{ ...one, array_len: 2 ** 53 - 1 }] }],
    [
      'a subsection that is not there',
      { fields: [one], subsections: [{ vmsd_name: 'x', version: 1 }] },
    ],
    ['no description', undefined],
    ['a description that is no object', 7],
  ])('with %s are bytes, and what follows is found', (_what, struct) => {
    const fields = decode(bytes('0102 03'), { name: 's', type: 'struct', size: 2, struct }, one);
    expect(fields).toMatchObject([
      { kind: 'bytes', bytes: bytes('0102'), note: expect.any(String) },
      { offset: 2, value: 3 },
    ]);
  });

  test('nested beyond reason are bytes', () => {
    let field: object = one;
    for (let depth = 0; depth < 1000; depth++)
      field = { name: 's', type: 'struct', size: 1, struct: { fields: [field] } };
    const [outer] = decode(bytes('01'), field);
    expect(outer).toMatchObject({ kind: 'struct', struct: { fields: [{ kind: 'struct' }] } });
    expect(JSON.stringify(outer)).toContain('does not fit');
  });
});

describe('what a description claims is bounded', () => {
  const zeros = (count: number): object[] =>
    Array.from({ length: count }, () => ({ name: '', type: 'x', size: 0, array_len: 9 }));

  test.each([
    ['a large array', [{ name: 'a', type: 'uint8', size: 1, array_len: 4_000_000 }]],
    [
      'a large array of structs with many fields of no size',
      [
        {
          name: 'a',
          type: 'struct',
          size: 1,
          array_len: 4_000_000,
          struct: { fields: [...zeros(1000), { size: 1 }] },
        },
      ],
    ],
    [
      'many arrays of them',
      Array.from({ length: 400 }, () => ({
        name: 'a',
        type: 'struct',
        size: 1,
        array_len: 10_000,
        struct: { fields: [...zeros(50), { size: 1 }] },
      })),
    ],
  ])('%s', (_what, fields) => {
    const tail = tailOf(new Uint8Array(4_000_000), { fields });
    // Without bounds it would not end before the test's time does, or take more memory than there
    // is.
    const [device] = describeDevices(tail)!;
    expect(device!.fields).toHaveLength(fields.length);
    expect(device!.fields.at(-1)).toMatchObject({
      kind: 'bytes',
      note: expect.stringContaining('too many'),
    });
  });

  test('also subsections of structs', () => {
    const struct = {
      subsections: Array.from({ length: 3 }, () => ({ vmsd_name: '', version: 0 })),
    };
    const content = new Uint8Array(200_000 * 18);
    for (let at = 0; at < content.length; at += 6) content[at] = 5;
    const [found] = decode(content, {
      name: 'a',
      type: 'struct',
      size: 18,
      array_len: 200_000,
      struct,
    });
    const elements = found?.kind === 'array' ? found.elements : [];
    expect(
      elements.filter((element) => element.kind === 'bytes' && element.note?.includes('too many'))
        .length,
    ).toBeGreaterThan(1000);
  });
});

describe('devices', () => {
  test('come with what their section says; a tail that cannot be told apart has none', () => {
    const tail = tailOf(bytes('01'), { fields: [{ name: 'x', type: 'uint8', size: 1 }] });
    expect(describeDevices(tail)).toMatchObject([
      { idstr: 'dev', instanceId: 0, sectionId: 9, version: 1, size: 1, layout: 'vm/dev' },
    ]);
    expect(describeDevices(tail, readTail(tail))).toEqual(describeDevices(tail));
    expect(describeDevices(bytes('00'))).toEqual([]);
    expect(describeDevices(tailOf(bytes('0102'), { fields: [] }))).toBeUndefined();
  });

  test('bytes are no Buffer, whatever the tail is', () => {
    const [device] = describeDevices(
      Buffer.from(tailOf(bytes('01'), { fields: [{ name: 'x', type: 'buffer', size: 1 }] })),
    )!;
    const [field] = (device as DeviceContent).fields;
    expect(field?.kind === 'bytes' && Buffer.isBuffer(field.bytes)).toBe(false);
  });
});
