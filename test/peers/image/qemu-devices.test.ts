import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { extractCore, inspectDevices, inspectImage } from '../../../src/image/index.ts';
import type { DeviceField } from '../../../src/stream/index.ts';
import { run } from '../../support/command.ts';
import { coverage, leaves } from '../../support/devices.ts';
import { EM_386, loadPlaces, loads, notes } from '../../support/elf.ts';
import { Qemu, qemuAvailable, type QemuOptions } from '../../support/qemu.ts';
import { folder } from '../../support/image.ts';
import { testFolder } from '../qemu/support.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

async function start(options: QemuOptions): Promise<Qemu> {
  const qemu = await Qemu.start(options);
  onTestFinished(() => qemu.stop());
  return qemu;
}

async function save(qemu: Qemu, path: string): Promise<void> {
  await qemu.capabilities('multifd', 'mapped-ram');
  await qemu.command('migrate', { uri: `file:${path}` });
  expect(await qemu.migrationEnd()).toBe('completed');
}

/** Lines of QEMU's own monitor. */
async function monitor(qemu: Qemu, line: string): Promise<string> {
  return String(await qemu.command('human-monitor-command', { 'command-line': line }));
}

const NULL_DISK = ['-drive', 'if=none,id=disk,driver=null-co,size=1M'];

/**
 * A boot sector that goes to 64-bit mode, gives each general register a value of its own, and the
 * bases of fs and gs too:
 *
 *     identity map of 2 MiB at 0x1000 | lgdt | cr4.PAE, cr3, efer.LME, cr0.PG and PE | far jump |
 *     ds, ss | wrmsr 0xc0000100 to 102
 *     | rax = 0x1111111122222222, rbx = rax + 1, rcx = rbx + 1, rdx, rsi, rdi, rbp, rsp, r8 to r15
 *     | hlt
 */
const LONG_MODE = Buffer.from(
  'fa31c08ed88ec08ed0bf0010b90018f3abc70600100320c70600200330c70600308300660f0116e87c66b8200000000f22e066b8001000000f22d866b9800000c00f3266' +
    '0d000100000f300f20c0660d010000800f22c0ea5c7c0800b8100000008ed88ed0b9000100c089c8ba341200000f30ffc181f9030100c075ed48b822222222111111114889' +
    'c348ffc3488d4b01488d5101488d7201488d7e01488d6f01488d65014c8d4424014d8d48014d8d51014d8d5a014d8d63014d8d6c24014d8d75014d8d7e01f4ebfd660f1f44' +
    '00000000000000000000ffff0000009baf00ffff00000093cf001700d07c',
  'hex',
);

describe.skipIf(!qemuAvailable())("a real QEMU's devices", () => {
  test.each<[string, QemuOptions, string[]]>([
    ['pc', { machine: 'pc' }, ['cpu', 'apic', '0000:00:00.0/I440FX', 'i8259', 'mc146818rtc']],
    [
      'an old pc',
      { machine: 'pc-i440fx-7.2', args: ['-device', 'VGA', '-serial', 'null'] },
      ['serial', '0000:00:02.0/vga'],
    ],
    [
      'pc with cards',
      {
        machine: 'pc',
        args: [
          '-device',
          'e1000',
          '-device',
          'virtio-net-pci',
          '-device',
          'qemu-xhci',
          '-device',
          'usb-tablet',
          ...NULL_DISK,
          '-device',
          'virtio-blk-pci,drive=disk',
          '-device',
          'virtio-balloon-pci',
        ],
      },
      [
        '0000:00:02.0/e1000',
        '0000:00:03.0/virtio-net',
        '0000:00:04.0/xhci',
        '0000:00:04.0/1/usb-ptr',
        '0000:00:05.0/virtio-blk',
      ],
    ],
    [
      'q35 with cards',
      {
        machine: 'q35',
        args: [
          '-smp',
          '2',
          '-cpu',
          'max',
          '-device',
          'e1000e',
          '-device',
          'vmxnet3',
          '-device',
          'ich9-usb-ehci1',
          '-device',
          'lsi53c895a,id=scsi',
          ...NULL_DISK,
          '-device',
          'scsi-hd,drive=disk,bus=scsi.0',
          '-device',
          'ioh3420',
        ],
      },
      ['0000:00:01.0/e1000e', '0000:00:02.0/vmxnet3', '0000:00:1f.2/ich9_ahci'],
    ],
    ['microvm', { machine: 'microvm' }, ['cpu', 'mc146818rtc']],
  ])(
    'of %s are all there, and each byte of each is a field of one',
    async (_what, options, names) => {
      const image = join(await folder(), 'image');
      const qemu = await start(options);
      await qemu.command('cont');
      await sleep(300);
      await qemu.command('stop');
      await save(qemu, image);
      const { sections } = await inspectImage(image);
      const devices = (await inspectDevices(image))!;
      expect(sections).toMatchObject(
        devices.map(({ idstr, instanceId, version, size }) => ({
          idstr,
          'instance-id': instanceId,
          version,
          size,
        })),
      );
      expect(devices.map(({ idstr }) => idstr)).toEqual(expect.arrayContaining(names));
      for (const device of devices) {
        expect(coverage(device), device.idstr).toBe(device.size);
        for (const [name, leaf] of leaves(device))
          expect(leaf.kind === 'bytes' && leaf.note, `${device.idstr}: ${name}`).not.toEqual(
            expect.any(String),
          );
      }
    },
  );

  test.skipIf(!qemuAvailable('11.1'))('have pointers with what is behind them (nvme)', async () => {
    const image = join(await folder(), 'image');
    const qemu = await start({
      version: '11.1',
      machine: 'q35',
      args: [...NULL_DISK, '-device', 'nvme,drive=disk,serial=nvme', '-S'],
    });
    const device = '0000:00:01.0/nvme#0';
    const queues = async (): Promise<DeviceField> => {
      const [found] = (await inspectDevices(image, { device }))!;
      expect(coverage(found!)).toBe(found!.size);
      return found!.fields.find(({ name }) => name === 'sq')!;
    };
    const noQueue = { name: 'sq', type: 'ptr-marker', size: 1, kind: 'pointer' };
    await save(qemu, image);
    expect(await queues()).toMatchObject({ kind: 'array', elements: Array(65).fill(noQueue) });

    // The firmware makes a queue for commands to the device, and one for its own reads.
    const running = await start({
      version: '11.1',
      machine: 'q35',
      running: true,
      args: [...NULL_DISK, '-device', 'nvme,drive=disk,serial=nvme'],
    });
    const second = { kind: 'pointer', index: 1, target: { kind: 'struct', type: 'struct' } };
    for (let found: DeviceField | undefined; ; ) {
      await running.command('stop');
      await save(running, image);
      found = await queues();
      if (found.kind === 'array' && 'target' in found.elements[1]!) break;
      await running.command('cont');
    }
    expect(await queues()).toMatchObject({
      kind: 'array',
      elements: [{ ...second, index: 0 }, second, ...Array(63).fill(noQueue)],
    });
    const { stdout } = await run('inspect', image, '--device', device);
    expect(stdout).toMatch(/^ +0x\w+ +2 +uint16 +sq\[1\]\.sqid +1$/m);
    expect(stdout).toMatch(/^ +0x\w+ +1 +ptr-marker +sq\[2-64\] +nothing$/m);
    expect(stdout).toMatch(/^ +0x\w+ +1 +qtailq +aer_queue +no elements$/m);
  });

  test('hold what they hold after reset', async () => {
    const image = join(await folder(), 'image');
    const qemu = await start({ machine: 'pc', args: ['-serial', 'null'] });
    await save(qemu, image);
    const values = async (device: string): Promise<Record<string, unknown>> => {
      const [found] = (await inspectDevices(image, { device }))!;
      return Object.fromEntries(
        [...leaves(found!)].map(([name, leaf]) => [
          name,
          leaf.kind === 'bytes' ? Buffer.from(leaf.bytes).toString('latin1') : leaf.value,
        ]),
      );
    };
    const cpu = await values('cpu#0');
    expect(cpu).toMatchObject({
      'env.eip': 0xfff0n,
      'env.eflags': 2n,
      'env.segs[1].selector': 0xf000,
      'env.segs[1].base': 0xffff0000n,
      'env.cr[0]': 0x60000010n,
    });
    const registers = await monitor(qemu, 'info registers');
    expect(registers).toContain(
      `EDX=${(cpu['env.regs[2]'] as bigint).toString(16).padStart(8, '0')}`,
    );
    // Divisor of 9600 baud; the transmitter is empty; nothing is asked of it.
    expect(await values('serial')).toMatchObject({
      'state.divider': 12,
      'state.lsr': 0x60,
      'state.ier': 0,
      'state.iir': 1,
    });
    expect((await values('0000:00:00.0/I440FX'))['parent_obj.config[0]']).toMatch(
      /^\x86\x80\x37\x12/,
    );
    expect((await values('globalstate'))['runstate']).toMatch(/^prelaunch\0+$/);
  });
});

describe.skipIf(!qemuAvailable())("a core file of a real QEMU's RAM", () => {
  test.each([
    ['pc', 3583 * MIB, 3583 * MIB],
    ['pc', 3584 * MIB, 3 * GIB],
    ['q35', 2815 * MIB, 2815 * MIB],
    ['q35', 2816 * MIB, 2 * GIB],
    ['pc-i440fx-7.2', 3600 * MIB, 3 * GIB],
    ['pc,max-ram-below-4g=1G', 2 * GIB, GIB],
  ])('of %s with %i bytes has each page at its address', async (machine, length, low) => {
    const where = await testFolder();
    const [image, out, part] = [join(where, 'image'), join(where, 'core'), join(where, 'part')];
    const addressOf = (offset: number): number => (offset < low ? offset : 4 * GIB + offset - low);
    const marks = [MIB, low - 4096, low - 1, low, length - 5].filter((mark) => mark < length);
    // No file: of that, pages that are only read take memory, and time.
    const qemu = await start({
      machine: `${machine},memory-backend=guest`,
      memory: length / MIB,
      args: [
        ...['-object', `memory-backend-ram,id=guest,size=${length}`],
        ...marks.flatMap((mark, index) => [
          '-device',
          `loader,addr=${addressOf(mark)},data=${index + 1},data-len=1`,
        ]),
      ],
    });
    const tree = await monitor(qemu, 'info mtree -f');
    expect(/^ *0000000100000000-\w+ \(prio 0, ram\): guest @([0-9a-f]+)/m.exec(tree)?.[1]).toBe(
      low < length ? low.toString(16).padStart(16, '0') : undefined,
    );
    await save(qemu, image);

    expect(await extractCore(image, out)).toMatchObject({
      cpus: 1,
      segments: [
        { physicalAddress: 0, bytes: low },
        ...(low < length ? [{ physicalAddress: 4 * GIB, bytes: length - low }] : []),
      ],
    });
    const core = await open(out);
    try {
      const head = Buffer.alloc(8192);
      await core.read(head, 0, head.length, 0);
      const [content, zero] = [Buffer.alloc(MIB), Buffer.alloc(MIB)];
      const marked = new Set(marks.map((mark) => Math.floor(mark / MIB)));
      let position = 0;
      for (const { offset, length: bytes } of loadPlaces(head)) {
        for (let at = 0; at < bytes; at += MIB, position += MIB) {
          await core.read(content, 0, MIB, offset + at);
          if (!marked.delete(position / MIB)) {
            // Below 1 MiB firmware can be seen in the place of RAM.
            if (position > 0 && !content.equals(zero))
              throw new Error(`RAM has something in the MiB at ${position}`);
            continue;
          }
          const [val, size, filename] = [addressOf(position), MIB, part];
          await qemu.command('pmemsave', { val, size, filename });
          expect(Buffer.compare(content, await readFile(part))).toBe(0);
          expect(content.some((byte) => byte !== 0)).toBe(true);
        }
      }
      expect(marked).toEqual(new Set());
      expect(position).toBe(length);
      expect((await core.stat()).blocks * 512).toBeLessThan(16 * MIB);
    } finally {
      await core.close();
    }
  });

  test("has the notes that QEMU's own has", async () => {
    const where = await folder();
    const [image, disk, out, own] = [
      join(where, 'image'),
      join(where, 'disk'),
      join(where, 'core'),
      join(where, 'own'),
    ];
    await writeFile(
      disk,
      Buffer.concat([
        LONG_MODE,
        Buffer.alloc(510 - LONG_MODE.length),
        Buffer.from([0x55, 0xaa]),
        Buffer.alloc(MIB - 512),
      ]),
    );
    const drive = [
      '-drive',
      `if=none,id=boot,format=raw,file=${disk}`,
      '-device',
      'ide-hd,drive=boot',
    ];
    const qemu = await start({ machine: 'q35', args: ['-smp', '2', ...drive] });
    await qemu.command('cont');
    while (!(await monitor(qemu, 'info registers')).includes('R15=1111111122222231'))
      await sleep(100);
    await qemu.command('stop');
    await qemu.command('dump-guest-memory', { paging: false, protocol: `file:${own}` });
    await save(qemu, image);
    expect((await extractCore(image, out)).cpus).toBe(2);
    const found = notes(await readFile(out));
    expect(found.map(({ name, type }) => [name, type])).toEqual([
      ['CORE', 1],
      ['CORE', 1],
      ['QEMU', 0],
      ['QEMU', 0],
    ]);
    expect(found).toEqual(notes(await readFile(own)));
  });

  const cards = (...names: string[]): string[] => names.flatMap((name) => ['-device', name]);
  const backend = (id: string, size: string): string[] => [
    '-object',
    `memory-backend-ram,id=${id},size=${size}`,
  ];
  const more = ['-m', '64M,slots=1,maxmem=1G', ...backend('more', '128M')];
  const virtioMem = 'virtio-mem-pci,memdev=more,x-early-migration=off';
  const behindBridge = cards('pci-bridge,id=br,chassis_nr=1', `${virtioMem},bus=br,addr=3`);
  const nodes = ['-numa', 'node,memdev=more', '-numa', 'node,memdev=less'];
  test.each<[string, string, string[], string]>([
    ['virtio-mem', 'q35', [...more, ...cards(virtioMem)], '0000:00:01.0/more'],
    ['virtio-mem behind a bridge', 'pc', [...more, ...behindBridge], '0000:00:02.0:03.0/more'],
    ['a DIMM', 'q35', [...more, ...cards('pc-dimm,memdev=more')], 'more'],
    ['NUMA nodes', 'q35', [...more, '-m', '192M', ...backend('less', '64M'), ...nodes], 'less'],
  ])('is refused, and the block named, with %s', async (_what, type, args, id) => {
    const where = await folder();
    const [image, out] = [join(where, 'image'), join(where, 'core')];
    const qemu = await start({ machine: type, args });
    await save(qemu, image);
    const named = (await inspectImage(image)).blocks.map((block) => block.id);
    expect(named).toContain(id);
    const refusal = { code: 'ERR_UNSUPPORTED', message: expect.stringContaining(id) };
    await expect(extractCore(image, out)).rejects.toMatchObject(refusal);
    await expect(readFile(out)).rejects.toThrow('ENOENT');
  });

  const graphics = cards('virtio-vga', 'secondary-vga', 'ati-vga', 'cirrus-vga', 'bochs-display');
  const network = cards('e1000', 'e1000e', 'virtio-net-pci', 'rtl8139', 'ne2k_pci', 'vmxnet3');
  const sharing = cards('ivshmem-plain,memdev=shared,master=on');
  test.each([
    ['graphics cards', graphics],
    ['another graphics card', cards('vmware-svga')],
    ['a graphics card without a bus address', cards('isa-vga')],
    ['network cards', network],
    ['shared memory', [...backend('shared', '1M,share=on'), ...sharing]],
  ])("has all RAM that QEMU's own has, with %s", async (_what, args) => {
    const where = await folder();
    const [image, out, own] = [join(where, 'image'), join(where, 'core'), join(where, 'own')];
    const qemu = await start({ machine: 'pc', args: [...args] });
    await qemu.command('cont');
    await qemu.command('stop');
    await qemu.command('dump-guest-memory', { paging: false, protocol: `file:${own}` });
    await save(qemu, image);
    const { segments } = await extractCore(image, out);
    expect(segments).toMatchObject([{ 'physical-address': 0, bytes: 64 * MIB }]);
    const [ram] = loads(await readFile(out));
    let compared = 0;
    for (const { physicalAddress, content } of loads(await readFile(own), EM_386)) {
      // Below, firmware can be seen in the place of RAM; above is devices' memory, and firmware.
      const from = Math.max(physicalAddress, MIB);
      const to = Math.min(physicalAddress + content.length, 64 * MIB);
      if (from >= to) continue;
      const own = content.subarray(from - physicalAddress, to - physicalAddress);
      expect(Buffer.compare(ram!.content.subarray(from, to), own)).toBe(0);
      compared += to - from;
    }
    expect(compared).toBe(63 * MIB);
  });
});
