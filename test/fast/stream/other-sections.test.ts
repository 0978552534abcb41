import { describe, expect, test } from 'vitest';
import { deviceSections, OtherCollector, parseMainStream } from '../../../src/stream/index.ts';
import { be16, be32, be64, concat, name } from '../../support/wire.ts';
import { bytes, parse, PIECES, readerOf, recorder, stream } from '../../support/stream.ts';

/** A section that is not "ram": START or FULL with what it says of itself, or PART or END. */
function section(
  kind: 'start' | 'part' | 'end' | 'full',
  { idstr = 'dev', id = 7, version = 1 },
  content: Uint8Array,
): Uint8Array {
  const type = { start: 1, part: 2, end: 3, full: 4 }[kind];
  const head =
    kind === 'start' || kind === 'full'
      ? concat(name(idstr), be32(0), be32(version))
      : new Uint8Array(0);
  return concat(Uint8Array.of(type), be32(id), head, content, Uint8Array.of(0x7e), be32(id));
}

/** EOF and a description of these devices, each with one opaque field. */
function described(devices: ReadonlyArray<{ name: string; size: number }>): Uint8Array {
  const text = JSON.stringify({
    page_size: 4096,
    devices: devices.map(({ name, size }) => ({
      name,
      instance_id: 0,
      version: 1,
      fields: [{ name: 'data', type: 'buffer', size }],
    })),
  });
  return concat(bytes('00 06'), be32(text.length), new TextEncoder().encode(text));
}

const TAIL = concat(section('full', { idstr: 'cpu', id: 9 }, bytes('0102')));

async function collected(content: Uint8Array, options = {}, step?: number) {
  const others = new OtherCollector();
  const { handler, tail, events } = recorder();
  await parseMainStream(
    readerOf(content, step),
    { ...handler, other: (section, chunk) => others.take(section, chunk) },
    options,
  );
  return { others, tail: tail(), events };
}

/** One device's sections in their usual places: START behind that of "ram", and so on. */
function along(device: { idstr: string; version: number }, contents: Uint8Array[]) {
  const [start, part, end] = contents.map((content, at) =>
    section((['start', 'part', 'end'] as const)[at]!, device, content),
  );
  const content = stream({
    startEnd: concat(PIECES.startEnd, start!),
    partEnd: concat(PIECES.partEnd, part!),
    tail: concat(end!, TAIL, described([{ name: 'cpu', size: 2 }])),
  });
  return { content, between: concat(start!, part!), after: end! };
}

/** What would end each too early, if it were looked for: the footer, and PART of "ram" behind it. */
const TRAP = bytes('7e 00000007 02 00000001');

const KNOWN: ReadonlyArray<[string, number, Uint8Array[]]> = [
  [
    'spapr/htab',
    1,
    [
      bytes('00000018'),
      concat(be32(0), be32(5), be16(1), be16(3), TRAP, bytes('000000000000'), be32(0), be32(0)),
      bytes('ffffffff'),
    ],
  ],
  [
    's390-storage_attributes',
    0,
    [
      bytes('0000000000000001'),
      concat(be64(0x5002), be64(10), TRAP, be64(1)),
      bytes('0000000000000008 0000000000000001'),
    ],
  ],
  [
    'dirty-bitmap',
    1,
    [
      concat(bytes('1c'), name('disk'), name('bitmap'), bytes('00010000 03'), bytes('01')),
      concat(
        bytes('40'),
        bytes('0000000000000000 00000100'),
        be64(TRAP.length),
        TRAP,
        bytes('8042 0000000000000000 00000100 80800020 01'),
      ),
      bytes('2c', name('disk'), name('bitmap'), '01'),
    ],
  ],
  [
    'block',
    1,
    [
      bytes('0000000000000002'),
      concat(be64(1), name('disk'), new Uint8Array(2 ** 20).fill(0x7e), be64(4), be64(2)),
      concat(be64(9), name('disk'), be64(2)),
    ],
  ],
  [
    '0000:00:02.0/vfio',
    1,
    [
      bytes('ffffffffef100003 ffffffffef100001'),
      concat(
        bytes('ffffffffef100004'),
        be64(TRAP.length),
        TRAP,
        bytes('ffffffffef100005 ffffffffef100001'),
      ),
      bytes('ffffffffef100001'),
    ],
  ],
];

describe('sections beside "ram"', () => {
  test.each(KNOWN)('%s is followed through its layout, and handed on verbatim', async (...row) => {
    const [idstr, version, contents] = row;
    const { content, between, after } = along({ idstr, version }, contents);
    for (const step of [undefined, 1000, 3]) {
      if (step !== undefined && content.length > 10_000) continue;
      const { others, tail, events } = await collected(content, {}, step);
      expect(Buffer.compare(others.between, between)).toBe(0);
      expect(others.after).toEqual(after);
      expect(others.before).toHaveLength(0);
      expect(others.devices).toEqual([
        {
          idstr,
          instanceId: 0,
          version,
          sections: 3,
          bytes: between.length + after.length,
        },
      ]);
      expect(tail.subarray(0, TAIL.length)).toEqual(TAIL);
      expect(events.filter(([event]) => event === 'zero')).toHaveLength(3);
    }
  });

  const early = concat(
    be64(2n ** 32n),
    be64(2 ** 27),
    be64(2 ** 21),
    be32(0),
    be64(2 ** 24),
    be64(0xff),
  );
  test.each([
    ['before its START, as QEMU 11.1 has it', 'before'],
    ['behind its START, as QEMU 10.0 has it', 'between'],
  ] as const)('virtio-mem has one %s', async (_, place) => {
    const idstr = '0000:00:01.0/virtio-mem-device-early';
    const full = section('full', { idstr, id: 37 }, early);
    const tail = concat(
      TAIL,
      described([
        { name: idstr, size: early.length },
        { name: 'cpu', size: 2 },
      ]),
    );
    const pieces =
      place === 'before'
        ? { command: concat(PIECES.command, full) }
        : { startEnd: concat(PIECES.startEnd, full) };
    const { others } = await collected(stream({ ...pieces, tail }));
    expect(others[place]).toEqual(full);
    expect(others.describedWith(TAIL)).toEqual(concat(full, TAIL));
  });

  test('what is before the RAM counts, where the device sections are told from what follows', () => {
    const idstr = '0000:00:01.0/virtio-mem-device-early';
    const full = section('full', { idstr, id: 37 }, early);
    const tail = concat(
      TAIL,
      described([
        { name: idstr, size: early.length },
        { name: 'cpu', size: 2 },
      ]),
    );
    expect(deviceSections(concat(full, tail), tail.length)).toEqual(TAIL);
    expect(() => deviceSections(tail, tail.length)).toThrow('EOF mark');
    const bare = concat(TAIL, bytes('00'));
    expect(deviceSections(bare, bare.length)).toEqual(TAIL);
  });

  test('one of unknown layout ends with the footer that is followed by what may follow', async () => {
    const inner = concat(TRAP.subarray(0, 5), bytes('09 7e7e7e'), TRAP.subarray(0, 5), bytes('00'));
    const device = { idstr: 'new-device', version: 3 };
    const { content, between } = along(device, [inner, bytes(), inner]);
    for (const step of [undefined, 3])
      expect((await collected(content, {}, step)).others.between).toEqual(between);
  });

  test('what the description says of a FULL one has the last word', async () => {
    const device = { idstr: 'new-early', id: 30 };
    // It has what looks like its end, and a section behind it.
    const inner = concat(bytes('aa 7e 0000001e'), section('full', { idstr: 'x', id: 31 }, bytes()));
    const full = section('full', device, inner);
    const tailOf = (size: number): Uint8Array =>
      concat(
        TAIL,
        described([
          { name: 'new-early', size },
          { name: 'cpu', size: 2 },
        ]),
      );
    const wrong = stream({ command: concat(PIECES.command, full), tail: tailOf(inner.length) });
    await expect(collected(wrong)).rejects.toMatchObject({
      code: 'ERR_PEER_CLOSED',
      message: expect.stringContaining('in the section of x'),
    });
    const plain = section('full', device, bytes('aabb'));
    const right = stream({ command: concat(PIECES.command, plain), tail: tailOf(2) });
    expect((await collected(right)).others.before).toEqual(plain);
    const other = stream({ command: concat(PIECES.command, plain), tail: tailOf(3) });
    await expect(collected(other)).rejects.toMatchObject({
      code: 'ERR_STREAM',
      message: expect.stringContaining('description'),
    });
  });

  test('a FULL one of unknown layout is refused where no description confirms it', async () => {
    const full = section('full', { idstr: 'new-early', id: 30 }, bytes('aabb'));
    const content = stream({
      command: concat(PIECES.command, full),
      tail: concat(TAIL, bytes('00')),
    });
    await expect(collected(content)).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringContaining('new-early'),
    });
  });

  test.each<[string, Partial<typeof PIECES>, string]>([
    [
      'an unknown word in storage attributes',
      {
        startEnd: concat(
          PIECES.startEnd,
          section('start', { idstr: 's390-storage_attributes', version: 0 }, be64(4)),
        ),
      },
      'ERR_STREAM',
    ],
    [
      'storage attributes longer than is allowed',
      {
        startEnd: concat(
          PIECES.startEnd,
          section(
            'start',
            { idstr: 's390-storage_attributes', version: 0 },
            bytes(be64(2), be64(2 ** 40)),
          ),
        ),
      },
      'ERR_STREAM',
    ],
    [
      'the number of a section twice',
      {
        startEnd: concat(
          PIECES.startEnd,
          section('start', { idstr: 'spapr/htab' }, bytes('00000018')),
          section('start', { idstr: 'spapr/htab' }, bytes('00000018')),
        ),
      },
      'ERR_STREAM',
    ],
    [
      'the number of "ram"',
      {
        startEnd: concat(
          PIECES.startEnd,
          section('start', { idstr: 'spapr/htab', id: 1 }, bytes('00000018')),
        ),
      },
      'ERR_STREAM',
    ],
    [
      'one that goes on behind its end',
      {
        partEnd: concat(
          PIECES.partEnd,
          section('start', { idstr: 'spapr/htab' }, bytes('00000018')),
          section('end', { idstr: 'spapr/htab' }, bytes('ffffffff')),
          section('part', { idstr: 'spapr/htab' }, bytes('ffffffff')),
        ),
      },
      'ERR_STREAM',
    ],
    [
      'one that was not started',
      { partEnd: concat(PIECES.partEnd, section('part', {}, bytes('ffffffff'))) },
      'ERR_STREAM',
    ],
  ])('%s is refused', async (_, replaced, code) => {
    await expect(parse(stream(replaced))).rejects.toMatchObject({ code, channel: 'main' });
  });

  test('they have no more bytes than is allowed for all device state', async () => {
    const { content } = along({ idstr: 'spapr/htab', version: 1 }, KNOWN[0]![2]);
    await expect(parse(content, { maxTail: 64 })).rejects.toMatchObject({
      code: 'ERR_STREAM',
      message: expect.stringContaining('maxDeviceState'),
    });
    await parse(content, { maxTail: 1024 });
  });
});
