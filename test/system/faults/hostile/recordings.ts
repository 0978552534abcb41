import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectRecordedDevices, inspectRecording, readRecordingTail, replay } from 'multifd';
import { writeRecording } from '../../../support/recording.ts';
import type { Random } from '../../../support/random.ts';
import { Target } from '../../../support/peer.ts';
import { fixture, RECORDINGS } from '../bases.ts';
import { migration } from '../grammar.ts';
import { mutatedSome } from '../mutate.ts';
import { demand, ending } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';

const TIMES = ['', '0 10\n', '5 5\n3 9\n', '0 99999999999999999\n', '2147483648 1\n', 'x\n', '0 1'];

/** Something wrong with a recording's folder; what that is. */
async function spoil(random: Random, path: string): Promise<string> {
  const name = random.pick(await readdir(path));
  const file = join(path, name);
  switch (random.below(7)) {
    case 0:
      return 'nothing changed';
    case 1:
      await rm(file);
      return `no ${name}`;
    case 2: {
      const to = random.pick(['channel-7', 'channel-256', 'channel-00', 'main.times', 'x']);
      await rename(file, join(path, to));
      return `${name} is called ${to}`;
    }
    case 3:
      await writeFile(join(path, `${name.replace('.times', '')}.times`), random.pick(TIMES));
      return `times of ${name}`;
    case 4:
      await rm(file);
      await mkdir(file);
      return `${name} is a folder`;
    default:
      await writeFile(file, mutatedSome(random, await readFile(file)));
      return `${name} changed`;
  }
}

async function run({ random, folder, input, note }: Execution): Promise<void> {
  const path = join(folder, 'rec');
  const known = random.chance(0.3) ? random.pick(RECORDINGS) : undefined;
  if (known === undefined) await writeRecording(path, migration(random));
  else await cp(fixture(known), path, { recursive: true });
  const what = await spoil(random, path);
  note(`${known ?? 'made up'}: ${what}`);
  input(1_000_000);
  const { value: report, error } = await ending(inspectRecording(path));
  if (what === 'nothing changed') {
    const problem = error?.message ?? report?.problem?.message;
    demand(problem === undefined, 'outcome', `refused: ${problem}`);
  }
  await ending(inspectRecordedDevices(path));
  await ending(readRecordingTail(path));
  if (!random.chance(0.3)) return;
  const target = await Target.listen(`${folder}/s`);
  let taking = true;
  const take = (async () => {
    while (taking) (await target.accept()).ignore();
  })();
  void take;
  await ending(replay({ path, uri: target.uri, timeout: 300 }));
  taking = false;
  await target.close();
}

export const recordingsPart: Part = {
  name: 'recordings',
  what: "recordings' folders: files changed, gone, renamed, and times that are none",
  executions: { whole: 3_000, short: 20 },
  run,
};
