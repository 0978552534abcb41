/** What is left over of files of a name: what the next one removes, and what it must not. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FileOutput, finishImageUpdate } from '../../../src/image/index.ts';
import { isOver } from '../../../src/files/owner.ts';
import { folder } from '../../support/image.ts';
import { hiddenIn } from '../../support/image-update.ts';

/** A hidden name of this process, in its parts. */
interface Name {
  tag: string;
  ordinal: string;
  boot: string;
  space: string;
  pid: string;
  start: string;
  instance: string;
  random: string;
}

const NAME = new RegExp(
  '^\\.multifd-(?<tag>[0-9a-f]+)-(?<ordinal>\\d+)-(?<boot>[0-9a-f]+)-(?<space>[0-9a-f]+)' +
    '-(?<pid>\\d+)-(?<start>\\d+)-(?<instance>[0-9a-f]+)-(?<random>[0-9a-f]+)\\.part$',
);

async function nameFor(path: string): Promise<Name> {
  const output = await FileOutput.create(path);
  const name = (await readdir(join(path, '..'))).find((each) => each.startsWith('.'))!;
  await output.discard();
  return NAME.exec(name)!.groups as unknown as Name;
}

const textOf = (
  { tag, ordinal, boot, space, pid, start, instance, random }: Name,
  suffix: string,
): string =>
  `.multifd-${tag}-${ordinal}-${boot}-${space}-${pid}-${start}-${instance}-${random}${suffix}`;

async function writeOut(path: string): Promise<void> {
  const output = await FileOutput.create(path);
  await output.handle.write('content');
  await output.commit();
}

/** The start of a process, as the system tells it. */
async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]!;
}

/** A process that runs, and one that has ended. */
async function processes(): Promise<{ alive: number; gone: number }> {
  const start = () =>
    spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
  const [alive, gone] = [start(), start()];
  onTestFinished(() => void alive.kill('SIGKILL'));
  gone.kill('SIGKILL');
  await once(gone, 'exit');
  return { alive: alive.pid!, gone: gone.pid! };
}

// Only Linux tells what proves it.
describe.runIf(process.platform === 'linux')('what the next file of the name removes', () => {
  const cases: Array<
    [
      string,
      boolean,
      (name: Name, pids: { alive: number; gone: number }) => Promise<Partial<Name>> | Partial<Name>,
    ]
  > = [
    ['a process that is gone', true, (_, { gone }) => ({ pid: String(gone) })],
    [
      'a process that is gone and whose number another has',
      true,
      (_, { alive }) => ({ pid: String(alive), start: '1' }),
    ],
    [
      'a process of a boot before, on a disk of this machine',
      true,
      () => ({ boot: '0000000000000000' }),
    ],
    [
      'a process that runs',
      false,
      async (_, { alive }) => ({ pid: String(alive), start: await startOf(alive) }),
    ],
    [
      'a process of another namespace',
      false,
      (_, { gone }) => ({ space: '00000000', pid: String(gone) }),
    ],
    ['this process, of another copy of this module', false, () => ({ instance: '00000000' })],
    ['this process, which was over with it', true, () => ({})],
    [
      'a file of another name',
      false,
      (_, { gone }) => ({ tag: '0123456789abcdef', pid: String(gone) }),
    ],
  ];
  test.each(cases)('%s: %s', async (_what, removed, change) => {
    const where = await folder();
    const path = join(where, 'out');
    const name = await nameFor(path);
    const left = textOf({ ...name, ...(await change(name, await processes())) }, '.part');
    await writeFile(join(where, left), 'left over');
    const output = await FileOutput.create(path);
    expect((await readdir(where)).includes(left)).toBe(!removed);
    await output.commit();
    expect((await readdir(where)).sort()).toEqual(removed ? ['out'] : [left, 'out'].sort());
  });

  test('where nothing can be proved, nothing', async () => {
    const where = await folder();
    const path = join(where, 'out');
    const { tag, instance, random } = await nameFor(path);
    const names = [
      `.multifd-${tag}-1-4194305-${instance}-${random}.part`,
      '.multifd-4194305-0123456789ab.part',
      `.multifd-${tag}-1-x.part`,
    ];
    for (const name of names) await writeFile(join(where, name), 'left over');
    await writeOut(path);
    expect((await readdir(where)).sort()).toEqual([...names, 'out'].sort());
  });

  test('what an image can be made of stays until another has the name', async () => {
    const where = await folder();
    const path = join(where, 'out');
    const name = { ...(await nameFor(path)), boot: '0000000000000000' };
    const alone = { ...name, random: '01234567' };
    for (const suffix of ['.image', '.update'])
      await writeFile(join(where, textOf(name, suffix)), 'a pair');
    await writeFile(join(where, textOf(alone, '.update')), 'of no use');
    await writeFile(join(where, textOf(alone, '.kept')), 'of somebody');
    const output = await FileOutput.create(path);
    expect(await hiddenIn(where)).toEqual(['.image', '.kept', '.part', '.update']);
    await output.discard();
    expect(await hiddenIn(where)).toEqual(['.image', '.kept', '.update']);
    await writeOut(path);
    expect(await hiddenIn(where)).toEqual(['.kept']);
  });

  test.each([
    ['a process that is gone', true],
    ['a process that runs', false],
  ])('the sidecar of an image that has its name again, of %s', async (_what, removed) => {
    const where = await folder();
    const path = join(where, 'out');
    const { alive, gone } = await processes();
    const owner = removed
      ? { pid: String(gone) }
      : { pid: String(alive), start: await startOf(alive) };
    const left = textOf({ ...(await nameFor(path)), ...owner }, '.update');
    await writeOut(path);
    await writeFile(join(where, left), 'left over');
    expect(await finishImageUpdate(path)).toBeUndefined();
    expect((await readdir(where)).sort()).toEqual(removed ? ['out'] : [left, 'out'].sort());
  });

  test('links and folders are not followed', async () => {
    const where = await folder();
    const path = join(where, 'out');
    const name = { ...(await nameFor(path)), boot: '0000000000000000' };
    const elsewhere = join(await folder(), 'precious');
    await writeFile(elsewhere, 'precious');
    await symlink(elsewhere, join(where, textOf(name, '.part')));
    const inFolder = textOf({ ...name, random: '01234567' }, '.part');
    await mkdir(join(where, inFolder));
    await writeFile(join(where, inFolder, 'main'), '');
    await writeOut(path);
    expect(await readFile(elsewhere, 'utf8')).toBe('precious');
    expect(await readdir(where)).toEqual([inFolder, 'out']);
  });

  test('the later name of an output has the higher ordinal, whatever else is there', async () => {
    const where = await folder();
    const path = join(where, 'out');
    const first = await nameFor(path);
    await writeFile(
      join(where, textOf({ ...first, ordinal: '41', space: '00000000' }, '.part')),
      '',
    );
    const output = await FileOutput.create(path);
    const ordinals = (await readdir(where))
      .map((name) => NAME.exec(name)!.groups!['ordinal'])
      .sort();
    expect(ordinals).toEqual(['41', '42']);
    await output.discard();
  });

  test('of a boot before, on a file system that other machines may have too', async () => {
    const name = await nameFor(join(await folder(), 'out'));
    // Any that is not known to be one machine's own.
    expect(await isOver(`0000000000000000-${name.space}-1-1-${name.instance}`, '/proc')).toBe(
      false,
    );
  });
});

test('a name as long as a name can be', async () => {
  const where = await folder();
  const path = join(where, 'x'.repeat(255));
  const output = await FileOutput.create(path);
  for (const name of await readdir(where)) expect(name.length).toBeLessThanOrEqual(143);
  await output.commit();
  expect(await readdir(where)).toEqual([basename(path)]);
});
