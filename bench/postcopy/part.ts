/** Booting by postcopy: how soon a guest is at work, and how soon it gets what it needs. */
import { existsSync, rmSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { send } from 'multifd';
import type { Contender, Part, Sample, Setting, Target } from '../lib/part.ts';
import { endProcess, startProgram } from '../lib/process.ts';
import { ROOT } from '../lib/tools.ts';
import type { Qemu } from '../../test/support/qemu.ts';
import { WORK_MIB } from './guest.ts';
import { captureGuest, loadGuest, startTarget, startVm, type Touches, touchesOf } from './vm.ts';

const COMMAND = fileURLToPath(new URL('build/multifd.js', ROOT));
const [START, FAULTS] = [
  `a guest of 2 GiB at work on ${WORK_MIB} MiB`,
  'pages here and there that a guest needs',
] as const;
const [POSTCOPY, PRECOPY, LOADED] = ['multifd, postcopy', 'multifd, precopy', 'QEMU, mapped-ram'];
const [OURS, OURS_PREEMPT, QEMU, QEMU_PREEMPT] = [
  'multifd',
  'multifd, preempt',
  'QEMU',
  'QEMU, preempt',
];
const FIRST = 'ms to the first output';
const WHOLE = 'ms to all of the working set';
/** A page that is there takes less, in microseconds. */
const FAULT_US = 10;

export const postcopyPart: Part = {
  name: 'postcopy',
  title: 'Postcopy: a guest runs before its memory has come',
  async prepare(setting: Setting) {
    const { tools, memoryFolder } = setting;
    const needed = tools.missing('qemu-system-x86_64');
    if (!existsSync('/dev/userfaultfd')) needed.push('no userfaultfd');
    if (needed.length > 0) return { cases: [], targets: [], leftOut: needed };
    const image = join(memoryFolder, 'guest.img');
    const after = async (): Promise<void> => rmSync(image, { force: true });
    return {
      cases: [
        {
          name: START,
          contenders: starts(memoryFolder, image),
          before: () => captureGuest(memoryFolder, image, 'w'),
          after,
        },
        {
          name: FAULTS,
          contenders: faults(memoryFolder, image),
          before: () => captureGuest(memoryFolder, image),
          after,
        },
      ],
      targets: TARGETS,
      leftOut: [],
    };
  },
};

const TARGETS: readonly Target[] = [
  ...[PRECOPY, LOADED].map((over) => ({
    what: `time to the guest's first output, beside ${over}`,
    case: START,
    of: POSTCOPY!,
    over: over!,
    metric: FIRST,
    most: 0.1,
  })),
  ...[
    [OURS, QEMU],
    [OURS_PREEMPT, QEMU_PREEMPT],
  ].flatMap(([of, over]) => [
    {
      what: `faults served per second, ${of} beside ${over}`,
      case: FAULTS,
      of: of!,
      over: over!,
      metric: 'faults/s',
      least: 1,
    },
    ...['median', 'p99'].map((which) => ({
      what: `a fault's time, ${which}, ${of} beside ${over}`,
      case: FAULTS,
      of: of!,
      over: over!,
      metric: `${which} us`,
      most: 1,
    })),
  ]),
];

function starts(folder: string, image: string): Contender[] {
  /** By send(), as a program does that is there already. */
  const bySend =
    (capabilities: readonly string[], options: { postcopy?: boolean }) =>
    async (): Promise<Sample> => {
      const { vm, uri } = await startTarget(folder, capabilities);
      const ended = new AbortController();
      const begun = performance.now();
      const sending = send({ uri, image, ...options, signal: ended.signal }).catch(() => {});
      try {
        return await startOf(vm, begun);
      } finally {
        ended.abort();
        await sending;
        await vm.stop();
      }
    };
  return [
    { name: POSTCOPY!, measure: bySend(['postcopy-ram'], { postcopy: true }) },
    {
      name: 'multifd, postcopy, by the command',
      async measure() {
        const { vm, uri } = await startTarget(folder, ['postcopy-ram']);
        const begun = performance.now();
        const args = ['send', image, uri, '--quiet', '--postcopy'];
        const sender = startProgram(process.execPath, [COMMAND, ...args]);
        try {
          return await startOf(vm, begun);
        } finally {
          await endProcess(sender);
          await vm.stop();
        }
      },
    },
    { name: PRECOPY!, measure: bySend(['multifd'], {}) },
    {
      name: LOADED!,
      async measure() {
        const vm = await startVm(folder, ['-incoming', 'defer']);
        try {
          await vm.capabilities('mapped-ram', 'multifd');
          const begun = performance.now();
          await vm.command('migrate-incoming', { uri: `file:${image}` });
          return await startOf(vm, begun);
        } finally {
          await vm.stop();
        }
      },
    },
  ];
}

async function startOf(vm: Qemu, begun: number): Promise<Sample> {
  await vm.beats(1);
  const first = performance.now() - begun;
  await vm.beats(WORK_MIB);
  return { [FIRST]: first, [WHOLE]: performance.now() - begun };
}

function faults(folder: string, image: string): Contender[] {
  const bySend = (preempt: boolean) => async () => {
    const { vm, uri } = await startTarget(folder, capabilitiesOf(preempt));
    const args = ['send', image, uri, '--quiet', '--postcopy'];
    if (preempt) args.push('--postcopy-preempt');
    const sender = startProgram(process.execPath, [COMMAND, ...args]);
    try {
      return await faultsOf(vm, folder);
    } finally {
      await endProcess(sender);
      await vm.stop();
    }
  };
  const byQemu = (preempt: boolean) => async () => {
    const source = await loadGuest(folder, image);
    try {
      const { vm, uri } = await startTarget(folder, capabilitiesOf(preempt));
      try {
        await source.command('migrate-set-capabilities', {
          capabilities: ['mapped-ram', 'multifd'].map((capability) => ({
            capability,
            state: false,
          })),
        });
        await source.capabilities('return-path', ...capabilitiesOf(preempt));
        await source.command('migrate', { uri });
        await source.command('migrate-start-postcopy');
        return await faultsOf(vm, folder);
      } finally {
        await vm.stop();
      }
    } finally {
      await source.stop();
    }
  };
  return [
    { name: OURS!, measure: bySend(false) },
    { name: QEMU!, measure: byQemu(false) },
    { name: OURS_PREEMPT!, measure: bySend(true) },
    { name: QEMU_PREEMPT!, measure: byQemu(true) },
  ];
}

function capabilitiesOf(preempt: boolean): string[] {
  return ['postcopy-ram', ...(preempt ? ['postcopy-preempt'] : [])];
}

async function faultsOf(vm: Qemu, folder: string): Promise<Sample> {
  await vm.beats(1);
  const first = await touch(vm, folder);
  // The guest's clock by ours: what lies between two ends.
  await setTimeout(1000);
  const second = await touch(vm, folder);
  const perMicrosecond = (second.end - first.end) / (1000 * (second.at - first.at));
  const { touches } = first;
  const seconds = (first.end - first.begin) / perMicrosecond / 1e6;
  const microseconds = touches
    .map((touch) => touch / perMicrosecond)
    .filter((time) => time > FAULT_US)
    .sort((a, b) => a - b);
  const at = (share: number): number =>
    microseconds[Math.min(microseconds.length - 1, Math.floor(share * microseconds.length))] ?? 0;
  return {
    'faults/s': microseconds.length / seconds,
    faults: microseconds.length,
    'median us': at(0.5),
    'p99 us': at(0.99),
  };
}

/** Has the guest touch its pages, and says what it noted, and when it had ended by our clock. */
async function touch(vm: Qemu, folder: string): Promise<Touches & { at: number }> {
  const before = await touchesOf(vm, folder);
  vm.type('r');
  for (;;) {
    // It writes none while it is at it.
    await vm.beats(5);
    const at = performance.now();
    const touches = await touchesOf(vm, folder);
    if (touches.end !== before.end) return { ...touches, at };
  }
}
