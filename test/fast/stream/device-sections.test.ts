import { describe, expect, test } from 'vitest';
import {
  buildTail,
  ByteReader,
  type ByteSource,
  parseMainStream,
  readTail,
  type DeviceRecord,
  TailScanner,
} from '../../../src/stream/index.ts';
import { concat } from '../../support/wire.ts';
import { Random, SEED } from '../../support/random.ts';
import { bytes, parse, recorder, sourceOf, stream } from '../../support/stream.ts';

const RECORDS: DeviceRecord[] = [
  { idstr: 'first', instanceId: 0, data: bytes('0102030405060708') },
  { idstr: 'first', instanceId: 1, data: bytes() },
  { idstr: 'other/é', instanceId: 0xffffffff, data: new Uint8Array(70_000).fill(0x7e) },
];

const json = (value: object): Uint8Array => described(JSON.stringify(value));

const described = (json: string): Uint8Array => {
  const text = new TextEncoder().encode(json);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, text.length);
  return concat(Uint8Array.of(6), length, text);
};

/** Of a device "dev", version 2. */
const section = (body: Uint8Array): Uint8Array =>
  bytes('04 00000009 03', "'dev", '00000000 00000002', body, '7e 00000009');

describe('records of memory that is no VM', () => {
  test('one record, byte for byte', () => {
    const text =
      '{"page_size":4096,"devices":[{"name":"dev","instance_id":3,"vmsd_name":"dev","version":1,"fields":[{"name":"data","type":"buffer","size":2}]}]}';
    expect(buildTail([{ idstr: 'dev', instanceId: 3, data: bytes('abcd') }], 4096)).toEqual(
      bytes(
        '04 00000002 03',
        "'dev",
        '00000003 00000001',
        'abcd',
        '7e 00000002',
        '00',
        '06 000000',
        text.length,
        `'${text}`,
      ),
    );
  });

  test('round trip', () => {
    const tail = readTail(buildTail(RECORDS, 4096));
    expect(tail.records()).toEqual(RECORDS);
    expect(tail.sections?.map(({ sectionId }) => sectionId)).toEqual([2, 3, 4]);
  });

  test('none is a single EOF', () => {
    expect(readTail(buildTail([], 4096))).toMatchObject({
      sections: [],
      length: 1,
      description: undefined,
    });
  });

  test('a record that contains another tail is kept whole', () => {
    const inner = buildTail(RECORDS.slice(1), 4096);
    const nested = [...RECORDS, { idstr: 'nested', instanceId: 0, data: inner }];
    expect(readTail(buildTail(nested, 4096)).records()).toEqual(nested);
  });

  test('one that no reader could tell from the end is refused', () => {
    const inner = buildTail(RECORDS, 4096);
    const nested = [...RECORDS, { idstr: 'nested', instanceId: 0, data: inner }];
    expect(() => buildTail(nested, 4096)).toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED' }),
    );
  });
});

describe('a description as QEMU writes it', () => {
  const device = {
    name: 'dev',
    instance_id: 0,
    vmsd_name: 'vm/dev',
    version: 2,
    fields: [
      { name: 'a', type: 'uint16', size: 2 },
      {
        name: 'list',
        type: 'struct',
        array_len: 3,
        size: 4,
        struct: { vmsd_name: 'inner', fields: [{ name: 'x', size: 4 }] },
      },
    ],
    subsections: [
      {
        vmsd_name: 'vm/dev/more',
        version: 1,
        fields: [{ name: 'b', type: 'uint8', size: 1 }],
        subsections: [{ vmsd_name: 'vm/dev/more/deep', version: 7, fields: [] }],
      },
    ],
  };
  const content = bytes(
    'aabb',
    new Uint8Array(12).fill(5),
    '05 0b',
    "'vm/dev/more",
    '00000001',
    '11',
    '05 10',
    "'vm/dev/more/deep",
    '00000007',
  );
  const tail = (body: Uint8Array, description: object): Uint8Array =>
    bytes(section(body), '00', json({ devices: [description] }));

  test('fields, arrays, subsections in subsections', () => {
    expect(readTail(tail(content, device)).sections).toEqual([
      { idstr: 'dev', instanceId: 0, version: 2, sectionId: 9, offset: 17, size: content.length },
    ]);
  });

  test('a device without a described version', () => {
    const { version: _version, subsections: _subsections, ...old } = device;
    expect(readTail(tail(content.subarray(0, 14), old)).sections).toHaveLength(1);
  });

  test.each([
    ['a byte more', bytes(content, '00'), device],
    ['a byte less', content.subarray(0, -1), device],
    ['a size that is no number', content, { ...device, fields: [{ size: '14' }] }],
    ['a negative size', content, { ...device, fields: [{ size: -1 }] }],
    ['a huge size', content, { ...device, fields: [{ size: 2 ** 52, array_len: 2 ** 52 }] }],
    ['a field that is no object', content, { ...device, fields: [null] }],
    ['fields that are no list', content, { ...device, fields: 3 }],
    ['a missing subsection', content, { ...device, subsections: [] }],
    [
      'another subsection',
      content,
      { ...device, subsections: [{ ...device.subsections[0], vmsd_name: 'vm/dev/none' }] },
    ],
  ])('%s: carried, but not told apart', (_what, body, description) => {
    const bytesOfTail = tail(body, description);
    const { sections, length, records } = readTail(bytesOfTail);
    expect({ sections, length, records: records() }).toEqual({
      sections: undefined,
      length: bytesOfTail.length,
      records: [],
    });
  });

  test('subsections nested beyond reason', () => {
    const depth = 10_000;
    const subsections =
      '"subsections":[{"vmsd_name":"x","version":1,'.repeat(depth) +
      '"fields":[]' +
      '}]'.repeat(depth);
    const text = `{"devices":[{"name":"dev","instance_id":0,"version":2,${subsections}}]}`;
    const body = new Uint8Array(depth * 7);
    for (let at = 0; at < body.length; at += 7) body.set(bytes('05 01', "'x", '00000001'), at);
    const deep = readTail(bytes(section(body), '00', described(text)));
    expect(deep.description).toBeDefined();
    expect(deep.sections).toBeUndefined();
  });
});

describe('what a description may have is bounded', () => {
  const NAMED = { name: 'dev', instance_id: 0, version: 2 };
  const whole = { ...NAMED, fields: [{ size: 14 }] };
  const body = new Uint8Array(14);
  const fields = (count: number): object => ({
    ...NAMED,
    fields: [...Array.from({ length: count }, () => ({ size: 0 })), { size: 14 }],
  });
  const tailWith = (...devices: object[]): Uint8Array =>
    concat(...devices.map(() => section(body)), Uint8Array.of(0), json({ devices }));
  const within = (more: object = {}): string => JSON.stringify({ ...whole, ...more });

  test.each([
    ['a device with many fields', 87_000, true],
    ['a device with too many', 88_000, false],
    ['a device with many times that', 180_000, false],
  ])('%s', (_what, count, told) => {
    // As the first device it tells where the tail ends, so that one beyond bounds is no end.
    expect(readTail(tailWith(fields(count))).sections?.length).toBe(told ? 1 : undefined);
    expect(readTail(tailWith(fields(count))).length > 0).toBe(told);
    const second = tailWith(whole, fields(count));
    expect(readTail(second).sections?.length).toBe(told ? 2 : undefined);
    expect(readTail(second).length).toBe(second.length);
  });

  test.each([
    ['many devices', 0x8000, true],
    ['too many', 0x8001, false],
  ])('%s', (_what, count, told) => {
    const tail = tailWith(...Array.from({ length: count }, () => whole));
    expect(readTail(tail).sections?.length).toBe(told ? count : undefined);
  });

  test.each([
    ['2 MiB of a device', 2 ** 21, true],
    ['more', 2 ** 21 + 1, false],
  ])('%s', (_what, length, told) => {
    const { length: rest } = JSON.stringify({ ...whole, x: '' });
    const tail = tailWith({ ...whole, x: 'x'.repeat(length - rest) });
    expect(readTail(tail).sections?.length).toBe(told ? 1 : undefined);
  });

  test.each([
    [
      'spaces anywhere',
      `{ "a" : [ { } , 1 ] ,\t"devices"\r\n: [ ${within()}\n] , "b" : 1 } \n`,
      true,
    ],
    [
      'brackets and marks in names',
      `{"\\"devices":[1],"]}":2,"devices":[${within({ x: ']}],"\\' })}]}`,
      true,
    ],
    ['the key elsewhere too', `{"a":{"devices":[]},"devices":[${within({ devices: [] })}]}`, true],
    ['the key as a value', `{"a":"devices","devices":[${within()}]}`, true],
    ['the key twice', `{"devices":[${within()}],"devices":[]}`, false],
    ['a number beside the devices', `{"devices":[${within()},1]}`, false],
    ['a text beside the devices', `{"devices":[${within()},"x"]}`, false],
    ['a list beside the devices', `{"devices":[${within()},[]]}`, false],
    ['something behind the end', `{"devices":[${within()}]}x`, false],
    ['an end too few', `{"devices":[${within()}]`, false],
    ['a list instead of an object', `[{"devices":[${within()}]}]`, false],
    ['a device that is no JSON', `{"devices":[{${JSON.stringify(whole).slice(1, -1)},}]}`, false],
  ])('%s', (_what, text, told) => {
    const tail = bytes(section(body), '00', described(text));
    for (const step of [1, 7, tail.length]) {
      const scanner = new TailScanner();
      for (let at = 0; at < tail.length; at += step) scanner.feed(tail.subarray(at, at + step));
      expect(scanner.complete).toBe(told);
    }
    expect(readTail(tail).sections?.length).toBe(told ? 1 : undefined);
  });
});

describe('the end of a tail', () => {
  const whole = buildTail(RECORDS.slice(0, 2), 4096);

  test('is found at every split into two, and byte by byte', () => {
    for (let split = 0; split <= whole.length; split++) {
      const scanner = new TailScanner();
      expect(scanner.feed(whole.subarray(0, split)), `split ${split}`).toBe(split);
      expect(scanner.complete).toBe(split === whole.length);
      expect(scanner.feed(bytes(whole.subarray(split), 'ffff')), `split ${split}`).toBe(
        whole.length - split,
      );
      expect(scanner.complete).toBe(true);
    }
    const scanner = new TailScanner();
    for (const [at, byte] of whole.entries()) {
      expect(scanner.complete, `byte ${at}`).toBe(false);
      scanner.feed(Uint8Array.of(byte));
    }
    expect(scanner.complete).toBe(true);
  });

  test('ends a stream whose connection stays open', async () => {
    const content = sourceOf(stream({ tail: whole }));
    let given = 0;
    const open: ByteSource = {
      async read(into) {
        const count = await content.read(into);
        given += count;
        return count === 0 ? new Promise<number>(() => undefined) : count;
      },
    };
    const { handler, tail } = recorder();
    await parseMainStream(new ByteReader(open), handler);
    expect(tail()).toEqual(whole);
    expect(given).toBe(stream({ tail: whole }).length);
  });

  const decoys: Array<readonly [string, Uint8Array]> = [
    ['no JSON', bytes('00 06 00000004', '\'{"a"')],
    ['an object without devices', bytes('00', json({ a: 1 }))],
    ['devices that are no list', bytes('00', json({ devices: {} }))],
    ['no devices', bytes('00', json({ devices: [] }))],
    [
      'the end of another stream',
      buildTail([{ idstr: 'elsewhere', instanceId: 0, data: bytes() }], 4096),
    ],
    ['a text that another record cuts off', bytes('00 06 00000100', '\'{"devices":[')],
    ['a length that is the beginning of another', bytes('00 06 00 06 00 00')],
    ['a length with a brace in it', bytes('00 06 00 06 00 7b 7b 22')],
    ['a length beyond all reason', bytes('00 06 ffffffff', "'{")],
    ['a length of 0', bytes('00 06 00000000', "'{")],
    ['beginnings only', bytes(...Array.from({ length: 300 }, () => '00 06 00010000 7b'))],
  ];
  test.each(decoys)('is not mistaken for %s', (_what, data) => {
    const records = [
      { idstr: 'first', instanceId: 0, data },
      { idstr: 'last', instanceId: 0, data: bytes('99') },
    ];
    const tail = buildTail(records, 4096);
    for (const step of [1, 3, tail.length]) {
      const scanner = new TailScanner();
      for (let at = 0; at < tail.length; at += step) {
        expect(scanner.complete, `at ${at}`).toBe(false);
        scanner.feed(tail.subarray(at, at + step));
      }
      expect(scanner.complete).toBe(true);
    }
    expect(readTail(tail).records()).toEqual(records);
  });

  test('without a description it is the connection, after an EOF mark', async () => {
    const tail = bytes('04 00000002 01', "'x", '00000000 00000001', 'aaaa', '7e 00000002', '00');
    expect((await parse(stream({ tail }))).tail).toEqual(tail);
    await expect(parse(stream({ tail: tail.subarray(0, -1) }))).rejects.toMatchObject({
      code: 'ERR_PEER_CLOSED',
    });
    expect(readTail(tail)).toMatchObject({ sections: undefined, length: tail.length });
    expect(readTail(tail.subarray(0, -1)).length).toBe(0);
  });

  test('a hostile tail costs time in proportion to its length', () => {
    // Every beginning asks for a text of 16 MiB; a scanner that kept all of them, or went back,
    // would not finish.
    const unit = bytes('00 06 01000000 7b 22');
    const tail = new Uint8Array(8 * 1024 * 1024);
    for (let at = 0; at < tail.length; at += unit.length) tail.set(unit, at);
    tail[0] = 4;
    const started = performance.now();
    const scanner = new TailScanner();
    scanner.feed(tail);
    expect(scanner.complete).toBe(false);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test(`random records, cut anywhere, SEED ${SEED}`, () => {
    const random = new Random(SEED);
    for (let round = 0; round < 50; round++) {
      const records = Array.from({ length: 1 + random.below(5) }, (_, index) => ({
        idstr: `d${random.below(3)}`,
        instanceId: index,
        data: Uint8Array.from({ length: random.below(300) }, () => random.below(256)),
      }));
      const tail = buildTail(records, 4096);
      expect(readTail(tail).records()).toEqual(records);
      const cut = tail.subarray(0, random.below(tail.length));
      expect(readTail(cut).sections).toBeUndefined();
    }
  });
});
