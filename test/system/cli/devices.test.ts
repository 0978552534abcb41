import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { writeImage } from '../../support/image.ts';
import { errorsOf, resultOf, run, temporaryFolder } from '../../support/command.ts';
import { loads } from '../../support/elf.ts';

const MIB = 1024 * 1024;

let folder: string;
let image: string;

/**
 * A tail of one section, a clock chip whose CMOS counts 1 MiB from 16 MiB on, and fields of other
 * kinds before it.
 */
function tail(): Uint8Array {
  const inner = { vmsd_name: 'in', version: 1, fields: [{ name: 'a', type: 'int16', size: 2 }] };
  const fields = [
    { name: 'big', type: 'uint64', size: 8 },
    { name: 'list', type: 'struct', size: 2, array_len: 4, struct: inner },
    { name: 'on\u009b', type: 'bool', size: 1 },
    { name: 'text', type: 'buffer', size: 5 },
    { name: 'cmos_data', type: 'buffer', size: 128 },
  ];
  const subsections = [
    { vmsd_name: 'sub', version: 4, fields: [{ name: 'last', type: 'uint8', size: 1 }] },
  ];
  const text = Buffer.from(
    JSON.stringify({
      devices: [{ name: 'mc146818rtc', instance_id: 2, version: 3, fields, subsections }],
    }),
  );
  const cmos = Buffer.alloc(128);
  cmos[0x34] = 16;
  const content = Buffer.concat([
    Buffer.from('ffffffffffffffff 0001 0001 fffe 0003 01 6869000000'.replaceAll(' ', ''), 'hex'),
    cmos,
    Buffer.from('0503737562000000040c', 'hex'),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  const header = Buffer.from('04000000020b6d633134363831387274630000000200000003', 'hex');
  return Buffer.concat([header, content, Buffer.from('7e000000020006', 'hex'), length, text]);
}

beforeEach(async () => {
  folder = await temporaryFolder();
  image = join(folder, 'image');
  const content = new Uint8Array(17 * MIB).fill(7, 4096 * 9, 4096 * 10);
  await writeImage(image, [{ id: 'pc.ram', content }], {
    configuration: { machine: 'pc-i440fx-10.0', capabilities: [] },
    tail: tail(),
  });
});

describe('inspect --devices', () => {
  test('shows one field a line, equal elements together', async () => {
    const { status, stdout, stderr } = await run('inspect', image, '--devices');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const cmos = `${'00'.repeat(32)}... (128 bytes)`;
    expect(stdout.split('\n')).toEqual([
      'mc146818rtc#2  version 3, 160 bytes',
      '  offset  size  type        name         value',
      '  0x0000     8  uint64      big          18446744073709551615 (0xffffffffffffffff)',
      '  0x0008     2  int16       list[0-1].a  1',
      '  0x000c     2  int16       list[2].a    -2 (0xfffe)',
      '  0x000e     2  int16       list[3].a    3',
      '  0x0010     1  bool        on\\u{9b}     true',
      '  0x0011     5  buffer      text         "hi"',
      `  0x0016   128  buffer      cmos_data    ${cmos}`,
      '  0x0096        subsection  sub          version 4',
      '  0x009f     1  uint8       last         12 (0xc)',
      '',
    ]);
  });

  test('as JSON has everything', async () => {
    const { stdout } = await run('inspect', image, '--device', 'mc146818rtc', '--json');
    const { devices } = JSON.parse(stdout) as { devices: Array<Record<string, unknown>> };
    expect(devices).toMatchObject([
      {
        idstr: 'mc146818rtc',
        instanceId: 2,
        size: 160,
        subsections: [{ layout: 'sub', fields: [{ kind: 'integer', value: 12 }] }],
      },
    ]);
    expect(devices[0]!['fields']).toMatchObject([
      { kind: 'integer', value: '18446744073709551615' },
      {
        kind: 'array',
        elements: [
          {},
          {},
          {
            index: 2,
            kind: 'struct',
            struct: { layout: 'in', fields: [{ offset: 12, value: -2 }] },
          },
          {},
        ],
      },
      { kind: 'bool', value: true },
      { kind: 'bytes', bytes: '6869000000' },
      { kind: 'bytes', bytes: expect.stringMatching(/^0{104}10(00)+$/) },
    ]);
  });

  test('refuses a device that is not there, and says what is', async () => {
    const ended = await run('inspect', image, '--device', 'mc146818rtc#0', '--json');
    expect({ status: ended.status, errors: errorsOf(ended) }).toEqual({
      status: 1,
      errors: ['ERR_NO_DEVICE'],
    });
    expect(ended.stderr).toContain('there are mc146818rtc#2');
    expect(resultOf(ended)).toMatchObject({ event: 'failed', error: { code: 'ERR_NO_DEVICE' } });
  });

  test('says when there is none', async () => {
    await writeImage(image, [{ id: 'x', content: new Uint8Array(4096) }], { force: true });
    expect(await run('inspect', image, '--devices')).toMatchObject({
      status: 0,
      stdout: 'device sections: none\n',
    });
    expect(await run('inspect', image, '--devices', '--json')).toMatchObject({
      status: 0,
      stdout: '{"devices":[]}\n',
    });
  });
});

describe('extract --format elf', () => {
  test('writes RAM at its address, and says so', async () => {
    const core = join(folder, 'core');
    const { status, stdout, stderr } = await run('extract', image, '--format', 'elf', core);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toBe(`17825792 bytes (17.0 MiB) of RAM at 0x0, no registers to ${core}\n`);
    const [load] = loads(await readFile(core));
    expect(load!.content.indexOf(7)).toBe(4096 * 9);
    const again = await run('extract', image, core, '--format', 'elf', '--json');
    expect(resultOf(again)).toMatchObject({ event: 'failed', error: { code: 'ERR_EXISTS' } });
    const forced = await run('extract', image, core, '--format', 'elf', '--json', '--force');
    expect(resultOf(forced)).toMatchObject({
      event: 'completed',
      cpus: 0,
      segments: [{ physicalAddress: 0, bytes: 17 * MIB }],
    });
  });

  test('leaves nothing behind for a machine that is no PC', async () => {
    await writeImage(image, [{ id: 'x', content: new Uint8Array(4096) }], { force: true });
    const ended = await run('extract', image, '--format', 'elf', join(folder, 'core'));
    expect({ status: ended.status, errors: errorsOf(ended) }).toEqual({
      status: 1,
      errors: ['ERR_UNSUPPORTED'],
    });
    await expect(readFile(join(folder, 'core'))).rejects.toThrow('ENOENT');
  });
});
