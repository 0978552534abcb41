/**
 * Images in files: QEMU's mapped-ram, saved and loaded. All files are in memory, so that no disk
 * decides.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Qemu } from '../../test/support/qemu.ts';
import { said, withChildren } from '../lib/child.ts';
import type { Case, Contender, Part, Sample, Setting, Target } from '../lib/part.ts';
import { runProgram, usageOf } from '../lib/process.ts';
import { vmWithRam } from '../migration/by-qemu.ts';
import { type Content, writeContent, writeZeros } from '../migration/content.ts';
import { GIB, MIB } from '../migration/order.ts';
import type { FileOrder, FileWord } from './order.ts';

const PROCESS = new URL('./files/process.js', import.meta.url);
const BYTES = GIB;
const QUICK_BYTES = 32 * MIB;
const CHANNELS = 2;
const KINDS: readonly Content[] = ['incompressible', '70 % zero'];
const [QEMU, OURS, CP, ZSTD] = ['QEMU', 'multifd', 'cp', 'zstd -T2'] as const;

export const filesPart: Part = {
  name: 'files',
  title: 'Files: mapped-ram images in memory, saved and loaded by 2 channels',
  async prepare(setting) {
    const cases = KINDS.flatMap((content) => [
      saveCase(content, setting),
      loadCase(content, setting),
    ]);
    return {
      cases,
      targets: TARGETS,
      leftOut: setting.tools.missing('qemu-system-x86_64', 'zstd'),
    };
  },
};

const nameOf = (what: FileOrder['what'], content: Content): string => `${what}: ${content}`;

const TARGETS: readonly Target[] = KINDS.flatMap((content) =>
  (['save', 'load'] as const).map((what) => ({
    what: `${nameOf(what, content)}: throughput of QEMU's`,
    headline: `throughput of QEMU's: ${what} a file, ${content}`,
    case: nameOf(what, content),
    of: OURS,
    over: QEMU,
    metric: 'GiB/s',
    least: 1,
  })),
);

function places({ memoryFolder, quick }: Setting): {
  ramFile: string;
  image: string;
  copy: string;
  bytes: number;
} {
  const at = (name: string): string => join(memoryFolder, name);
  return {
    ramFile: at('source.ram'),
    image: at('ram.img'),
    copy: at('copy.ram'),
    bytes: quick ? QUICK_BYTES : BYTES,
  };
}

function saveCase(content: Content, setting: Setting): Case {
  const { ramFile, image, copy, bytes } = places(setting);
  const order: FileOrder = { what: 'save', ramFile, image, bytes, channels: CHANNELS };
  return {
    name: nameOf('save', content),
    contenders: [
      ...qemuContender(setting, () => byQemu(order, ramFile)),
      { name: OURS, measure: () => byUs(order) },
      { name: CP, measure: () => byProgram('cp', ['--sparse=never', ramFile, copy], bytes, copy) },
      ...zstdContender(setting, ['-q', '-f', '-1', '-T2', ramFile, '-o', copy], bytes, copy),
    ].map((contender) => ({
      ...contender,
      measure: () => contender.measure().finally(() => rmSync(image, { force: true })),
    })),
    before: async () => writeContent(ramFile, bytes, content),
    after: async () => rmSync(ramFile),
  };
}

/** Each loads what it has saved itself. */
function loadCase(content: Content, setting: Setting): Case {
  const { ramFile, image, copy, bytes } = places(setting);
  const order: FileOrder = {
    what: 'load',
    ramFile,
    image: `${image}.ours`,
    bytes,
    channels: CHANNELS,
  };
  const theirs: FileOrder = { ...order, image: `${image}.qemu` };
  const compressed = `${image}.zst`;
  const [qemu, zstd] = [setting.tools.path('qemu-system-x86_64'), setting.tools.path('zstd')];
  return {
    name: nameOf('load', content),
    contenders: [
      ...qemuContender(setting, async () => {
        writeZeros(copy, bytes);
        return byQemu(theirs, copy).finally(() => rmSync(copy));
      }),
      { name: OURS, measure: () => byUs(order) },
      {
        name: CP,
        measure: () => byProgram('cp', ['--sparse=never', order.image, copy], bytes, copy),
      },
      ...zstdContender(setting, ['-q', '-f', '-d', '-T2', compressed, '-o', copy], bytes, copy),
    ],
    async before() {
      writeContent(ramFile, bytes, content);
      await byUs({ ...order, what: 'save' });
      if (qemu !== undefined) await byQemu({ ...theirs, what: 'save' }, ramFile);
      if (zstd !== undefined)
        await runProgram(zstd, ['-q', '-f', '-1', '-T2', ramFile, '-o', compressed]);
    },
    async after() {
      for (const path of [ramFile, order.image, theirs.image, compressed])
        rmSync(path, { force: true });
    },
  };
}

function qemuContender({ tools }: Setting, measure: () => Promise<Sample>): Contender[] {
  return tools.path('qemu-system-x86_64') === undefined ? [] : [{ name: QEMU, measure }];
}

function zstdContender(
  { tools }: Setting,
  args: readonly string[],
  bytes: number,
  copy: string,
): Contender[] {
  const zstd = tools.path('zstd');
  return zstd === undefined
    ? []
    : [{ name: ZSTD, measure: () => byProgram(zstd, args, bytes, copy) }];
}

async function byProgram(
  file: string,
  args: readonly string[],
  bytes: number,
  copy: string,
): Promise<Sample> {
  const { seconds, usage } = await runProgram(file, args);
  rmSync(copy);
  return sampleOf(bytes, seconds, usage.cpu, usage.peakMiB);
}

function byUs(order: FileOrder): Promise<Sample> {
  return withChildren(async (start) => {
    const child = start(PROCESS, order);
    await said<FileWord>(child);
    const before = usageOf(child.pid!);
    child.send('go');
    const { seconds } = await said<Extract<FileWord, { kind: 'done' }>>(child);
    const after = usageOf(child.pid!);
    child.send('compare');
    const { same } = await said<Extract<FileWord, { kind: 'compared' }>>(child);
    if (!same) throw new Error('what was loaded is not what was saved');
    return sampleOf(
      order.bytes,
      seconds,
      (after?.cpu ?? NaN) - (before?.cpu ?? NaN),
      after?.peakMiB ?? NaN,
    );
  });
}

async function byQemu(
  { what, ramFile, image, bytes, channels }: FileOrder,
  ownRam: string,
): Promise<Sample> {
  const vm: Qemu = await vmWithRam(
    ownRam,
    bytes,
    true,
    ...(what === 'load' ? ['-incoming', 'defer'] : []),
  );
  try {
    await vm.capabilities('multifd', 'mapped-ram');
    await vm.command('migrate-set-parameters', {
      'multifd-channels': channels,
      'max-bandwidth': 0,
    });
    const before = usageOf(vm.pid);
    const begun = performance.now();
    await vm.command(what === 'save' ? 'migrate' : 'migrate-incoming', { uri: `file:${image}` });
    const end = await vm.migrationEnd();
    const seconds = (performance.now() - begun) / 1000;
    const after = usageOf(vm.pid);
    if (end !== 'completed') throw new Error(`QEMU's migration has ${end}`);
    if (what === 'load') await runProgram('cmp', [ramFile, ownRam]);
    return sampleOf(
      bytes,
      seconds,
      (after?.cpu ?? NaN) - (before?.cpu ?? NaN),
      after?.peakMiB ?? NaN,
    );
  } finally {
    await vm.stop();
  }
}

/** Without /proc there is no more to say than how long it took. */
function sampleOf(bytes: number, seconds: number, cpu: number, peakMiB: number): Sample {
  const speed = { 'GiB/s': bytes / GIB / seconds };
  return Number.isNaN(cpu)
    ? speed
    : { ...speed, 'CPU s/GiB': (cpu * GIB) / bytes, 'peak MiB': peakMiB };
}
