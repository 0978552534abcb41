import { utimesSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { extractCore, inspectDevices } from '../../../src/image/index.ts';
import type { DeviceRecord } from '../../../src/stream/index.ts';
import { folder, PAGE, writeImage } from '../../support/image.ts';
import { loads, notes } from '../../support/elf.ts';

const MIB = 1024 * 1024;

interface ClockOptions {
  /** The name of the CMOS in the description. */
  field?: string;
  size?: number;
  /** Another device without fields, by its idstr. */
  device?: string;
}

/**
 * A tail with the clock chip, whose CMOS counts `low` bytes from 16 MiB and `high` bytes from 4 GiB
 * on.
 */
function clock(low: number, high: number, options: ClockOptions = {}): Uint8Array {
  const { field = 'cmos_data', size = 128, device } = options;
  const cmos = new Uint8Array(128);
  new DataView(cmos.buffer).setUint16(0x34, low / 0x10000, true);
  new DataView(cmos.buffer).setUint32(0x5b, high / 0x10000, true);
  const fields = [
    { name: field, type: 'buffer', size },
    { name: 'rest', type: 'buffer', size: 128 - size },
  ];
  const devices = [{ name: 'mc146818rtc', instance_id: 0, version: 3, fields }];
  const header = Buffer.from('04000000020b6d633134363831387274630000000000000003', 'hex');
  const sections: Uint8Array[] = [header, cmos, Buffer.from('7e00000002', 'hex')];
  if (device !== undefined) {
    devices.push({ name: device, instance_id: 0, version: 1, fields: [] });
    const idstr = Buffer.concat([Buffer.of(device.length), Buffer.from(device)]);
    const rest = Buffer.from('00000000000000017e00000003', 'hex');
    sections.push(Buffer.from('0400000003', 'hex'), idstr, rest);
  }
  const text = Buffer.from(JSON.stringify({ devices }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([...sections, Buffer.from('0006', 'hex'), length, text]);
}

const ram = (id = 'pc.ram', length = 17 * MIB): { id: string; content: Uint8Array } => {
  const content = new Uint8Array(length);
  content
    .fill(1, 0, 10)
    .fill(2, 16 * MIB + 5 * PAGE, 16 * MIB + 5 * PAGE + 9)
    .fill(3, length - 7);
  return { id, content };
};

const machine = (name: string): { configuration: { machine: string; capabilities: [] } } => ({
  configuration: { machine: name, capabilities: [] },
});

describe('a core file', () => {
  test.each([
    ['all below 4 GiB', 'pc-i440fx-10.0', 'pc.ram', 17 * MIB, MIB, 0, [[0, 17 * MIB]]],
    [
      'on both sides of the hole',
      'pc-q35-rhel9.4.0',
      'ram0',
      17 * MIB,
      0,
      MIB,
      [
        [0, 16 * MIB],
        [2 ** 32, MIB],
      ],
    ],
    ['less than CMOS counts', 'isapc', 'pc.ram', 2 * MIB, 0, 0, [[0, 2 * MIB]]],
    [
      'of a backend by its old name',
      'microvm',
      '/objects/mem',
      17 * MIB + PAGE,
      MIB,
      0,
      [[0, 17 * MIB + PAGE]],
    ],
  ] as const)('has RAM %s', async (_what, type, id, length, low, high, ranges) => {
    const where = await folder();
    const [image, out] = [join(where, 'image'), join(where, 'core')];
    const block = ram(id, length);
    await writeImage(image, [block, { id: 'pc.bios', content: new Uint8Array(PAGE).fill(9) }], {
      ...machine(type),
      tail: clock(low, high),
    });
    const report = await extractCore(image, out);
    const file = await readFile(out);
    expect(report).toMatchObject({
      bytes: file.length,
      cpus: 0,
      segments: ranges.map(([address, bytes]) => ({ 'physical-address': address, bytes })),
    });
    const found = loads(file);
    expect(found.map(({ physicalAddress, content }) => [physicalAddress, content.length])).toEqual(
      ranges,
    );
    expect(Buffer.compare(Buffer.concat(found.map(({ content }) => content)), block.content)).toBe(
      0,
    );
    expect(notes(file)).toEqual([]);
    expect((await stat(out)).mode & 0o777).toBe(0o600);
  });

  const fine = clock(MIB, 0);
  test.each([
    ['a machine of another kind', [ram()], 'none', fine],
    ['a machine with a name like it', [ram()], 'pcx', fine],
    ['no clock chip', [ram()], 'pc', Buffer.of(0)],
    ['a clock chip without its CMOS', [ram()], 'pc', clock(MIB, 0, { field: 'something' })],
    ['a CMOS that is too short', [ram()], 'pc', clock(MIB, 0, { size: 0x5f })],
    ['RAM of another length', [ram('pc.ram', 18 * MIB)], 'pc', fine],
    ['no block that may be RAM', [ram('0000:00:02.0/vga.vram'), ram('pc.bios', MIB)], 'pc', fine],
    ['RAM above 4 GiB that CMOS does not count', [ram()], 'pc', clock(0, 0)],
    ['more RAM above 4 GiB than there is', [ram()], 'pc', clock(MIB, MIB)],
  ])('is refused for %s', async (_what, blocks, type, tail) => {
    const where = await folder();
    const image = join(where, 'image');
    await writeImage(image, blocks, { ...machine(type), tail });
    await expect(extractCore(image, join(where, 'core'))).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringContaining('one by one'),
    });
    await expect(readFile(join(where, 'core'))).rejects.toThrow('ENOENT');
  });

  test.each([
    ['a DIMM', 'dimm0', undefined],
    ['a backend by its old name', '/objects/dimm0', undefined],
    ['a virtio-mem device', '0000:00:03.0/mem0', undefined],
    ['one behind a bridge', '0000:00:02.0:01.0/mem0', undefined],
    ['one whose backend is called like a ROM', '0000:00:03.0/mem0.rom', '0000:00:03.0/virtio-mem'],
    ['a device that is not known', '0000:00:02.0/new.memory', '0000:00:02.0/new'],
    ['a name that begins like video memory', '0000:00:02.0/vga.vram2', undefined],
    ['a backend that is called like a ROM', 'my.rom', undefined],
  ])('is refused, and the block named, for further memory of %s', async (_what, id, device) => {
    const where = await folder();
    const [image, out] = [join(where, 'image'), join(where, 'core')];
    const tail = clock(MIB, 0, device === undefined ? {} : { device });
    await writeImage(image, [ram(), ram(id, MIB)], { ...machine('pc'), tail });
    const refusal = { code: 'ERR_UNSUPPORTED', message: expect.stringContaining(id) };
    await expect(extractCore(image, out)).rejects.toMatchObject(refusal);
    await expect(readFile(out)).rejects.toThrow('ENOENT');
  });

  // As `info ramblock` of QEMU 10.0 and 7.2 prints them, with a device of each kind.
  test.each([
    'pc.bios',
    'pc.rom',
    'isa-bios',
    'system.flash0',
    'system.flash1',
    '/rom@etc/acpi/tables',
    '/rom@etc/table-loader',
    '/rom@etc/acpi/rsdp',
    'vga.vram',
    'vmsvga.fifo',
    'tpm-ppi',
    'tpm-crb-cmd',
    '0000:00:02.0/vga.vram',
    '0000:00:02.0:02.0/vga.vram',
    '0000:00:01.0/qxl.vram',
    '0000:00:02.0/qxl.vgavram',
    '0000:00:01.0/qxl.vrom',
    '0000:00:02.0/bochs-display-vram',
    '0000:00:02.0/erst.exchange',
    '0000:00:03.0/virtio-net-pci.rom',
    '0000:00:02.0/vmware_vga.rom',
  ])('is made without %s', async (id) => {
    const where = await folder();
    const [image, out] = [join(where, 'image'), join(where, 'core')];
    await writeImage(image, [ram(id, MIB), ram()], { ...machine('pc'), tail: fine });
    const { segments } = await extractCore(image, out);
    expect(segments).toMatchObject([{ 'physical-address': 0, bytes: 17 * MIB }]);
  });

  test('is made without memory that VMs share', async () => {
    const where = await folder();
    const [image, out] = [join(where, 'image'), join(where, 'core')];
    const tail = clock(MIB, 0, { device: '0000:00:03.0/ivshmem-plain' });
    await writeImage(image, [ram('0000:00:03.0/mem0', MIB), ram()], { ...machine('pc'), tail });
    const { segments } = await extractCore(image, out);
    expect(segments).toMatchObject([{ 'physical-address': 0, bytes: 17 * MIB }]);
  });
});

test('no core file is made of an image that changes meanwhile', async () => {
  const where = await folder();
  const [image, out] = [join(where, 'image'), join(where, 'core')];
  await writeImage(image, [ram()], { ...machine('pc'), tail: clock(MIB, 0) });
  utimesSync(image, 1_000, 1_000);
  const onProgress = (): void => utimesSync(image, 2_000, 2_000); // as a write would
  await expect(extractCore(image, out, { onProgress })).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringContaining('has changed'),
  });
  expect(await readdir(where)).toEqual(['image']);
});

describe('devices of an image', () => {
  const records: DeviceRecord[] = [0, 1, 7].map((instanceId) => ({
    idstr: instanceId === 7 ? 'a#1' : 'a',
    instanceId,
    data: Uint8Array.of(instanceId),
  }));

  test('are found by name and instance', async () => {
    const image = join(await folder(), 'image');
    await writeImage(image, [ram()], { records });
    const instances = async (device?: string): Promise<unknown> =>
      (await inspectDevices(image, device === undefined ? {} : { device }))?.map(
        ({ instanceId }) => instanceId,
      );
    expect(await instances()).toEqual([0, 1, 7]);
    expect(await instances('a')).toEqual([0, 1]);
    expect(await instances('a#0')).toEqual([0]);
    // A name that looks like an instance of another is a name first.
    expect(await instances('a#1')).toEqual([7]);
    expect(await instances('a#1#7')).toEqual([7]);
    await expect(instances('b')).rejects.toMatchObject({
      code: 'ERR_NO_DEVICE',
      message: 'there is no device b; there are a#0, a#1, a#1#7',
    });
  });

  test('are null without a description', async () => {
    const image = join(await folder(), 'image');
    await writeImage(image, [ram()], {
      tail: Buffer.from('0400000002017800000000000000017e0000000200', 'hex'),
    });
    expect(await inspectDevices(image)).toBeNull();
    await expect(inspectDevices(image, { device: 'x' })).rejects.toMatchObject({
      code: 'ERR_NO_DEVICE',
    });
  });
});
