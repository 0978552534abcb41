/** How time and memory grow with the size of what is moved, and with the number of channels. */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Part, Sample, Setting, Target } from '../lib/part.ts';
import { endProcess, runProgram, startProgram, type Usage, usageOf } from '../lib/process.ts';
import { slopeOf } from '../lib/slope.ts';
import { ROOT } from '../lib/tools.ts';
import { writeSparse } from './sparse.ts';

const COMMAND = fileURLToPath(new URL('build/multifd.js', ROOT));
const MIB = 2 ** 20;
const SIZES_MIB = [64, 256, 1024, 4096, 8192];
const QUICK_SIZES_MIB = [16, 64];
const CHANNELS = [1, 2, 4, 8, 16];
const QUICK_CHANNELS = [1, 2];
/** Of the one that is held while the other grows. */
const SIZE_MIB = 1024;
const CHANNEL_COUNT = 2;
const [BY_SIZE, BY_CHANNELS, OURS] = [
  'by size, a sixteenth of it data, 2 channels',
  'by channels, 1 GiB',
  'multifd',
] as const;

export const growthPart: Part = {
  name: 'growth',
  title: 'Growth: a sparse file sent by one process and made an image by another',
  async prepare({ quick, folder }: Setting) {
    const sizes = quick ? QUICK_SIZES_MIB : SIZES_MIB;
    const channels = quick ? QUICK_CHANNELS : CHANNELS;
    const size = quick ? QUICK_SIZES_MIB.at(-1)! : SIZE_MIB;
    return {
      cases: [
        {
          name: BY_SIZE,
          contenders: [
            {
              name: OURS,
              measure: () => grow(sizes, 'GiB', 1024, (mib) => move(folder, mib, CHANNEL_COUNT)),
            },
          ],
        },
        {
          name: BY_CHANNELS,
          contenders: [
            {
              name: OURS,
              measure: () => grow(channels, 'channel', 1, (count) => move(folder, size, count)),
            },
          ],
        },
      ],
      targets: TARGETS,
      leftOut: [],
    };
  },
};

/**
 * Where memory is bounded by the slots, what is left of it with size is a bit for each page: 32 KiB
 * a GiB.
 */
const TARGETS: readonly Target[] = ['source', 'target'].map((end) => ({
  what: `peak memory of the ${end}, MiB for each GiB more`,
  case: BY_SIZE,
  of: OURS,
  metric: `peak MiB a GiB, ${end}`,
  most: 1,
}));

interface Moved {
  seconds: number;
  source: Usage;
  target: Usage;
}

/**
 * Measures at each of the places; the sample has each one's numbers, and the slopes of the lines
 * through them. `unit` has so many steps of the places in it.
 */
async function grow(
  places: readonly number[],
  unit: string,
  steps: number,
  measure: (place: number) => Promise<Moved>,
): Promise<Sample> {
  const all: [place: number, moved: Moved][] = [];
  for (const place of places) all.push([place, await measure(place)]);
  const slope = (of: (moved: Moved) => number): number =>
    slopeOf(all.map(([place, moved]) => [place / steps, of(moved)]));
  return {
    [`s a ${unit}`]: slope(({ seconds }) => seconds),
    [`peak MiB a ${unit}, source`]: slope(({ source }) => source.peakMiB),
    [`peak MiB a ${unit}, target`]: slope(({ target }) => target.peakMiB),
    ...Object.fromEntries(
      all.flatMap(([place, { seconds, source, target }]) => [
        [`s at ${place}`, seconds],
        [`MiB at ${place}`, Math.max(source.peakMiB, target.peakMiB)],
      ]),
    ),
  };
}

/** By the command, from its start to its end. */
async function move(folder: string, mib: number, channels: number): Promise<Moved> {
  const [raw, image] = [join(folder, 'growing.raw'), join(folder, 'growing.img')];
  writeSparse(raw, mib * MIB);
  const receiver = startProgram(
    process.execPath,
    [COMMAND, 'receive', 'tcp:127.0.0.1:0', image, '--json', '--channels', `${channels}`],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    let target: Usage = { cpu: 0, peakMiB: 0 };
    const looking = setInterval(() => (target = usageOf(receiver.pid!) ?? target), 5);
    const [line] = (await once(receiver.stdout!.setEncoding('utf8'), 'data')) as [string];
    receiver.stdout!.resume();
    const { uri } = JSON.parse(line.split('\n')[0]!) as { uri: string };
    const ended = once(receiver, 'exit');
    const { seconds, usage } = await runProgram(process.execPath, [
      COMMAND,
      'send',
      raw,
      uri,
      '--quiet',
      '--channels',
      `${channels}`,
    ]);
    const [status] = (await ended) as [number];
    clearInterval(looking);
    if (status !== 0) throw new Error(`the receiver ended with status ${status}`);
    return { seconds, source: usage, target };
  } finally {
    await endProcess(receiver);
    for (const path of [raw, image]) rmSync(path, { force: true });
  }
}
