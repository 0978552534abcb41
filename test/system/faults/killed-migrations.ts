import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { extractBlock, receive, send } from 'multifd';
import { CuttingProxy, type Seen } from '../../support/cutting-proxy.ts';
import { CONTENT, WINDOW, wordsOf } from './connections.ts';
import { demand, ending, holdsOnly, sameBytes } from './oracles.ts';
import type { Execution, Part } from './part.ts';

const COMMAND = fileURLToPath(new URL('../multifd.js', import.meta.url));
const TIMEOUT = 3000;

/** The end that is killed. */
const SIDES = ['source', 'target'] as const;

/** A migration of which one end is a process, killed before message number `at`. */
async function migrate(
  folder: string,
  at: number,
  side: (typeof SIDES)[number],
): Promise<readonly Seen[]> {
  const [file, out] = [join(folder, 'file'), join(folder, 'out')];
  await mkdir(out);
  await writeFile(file, CONTENT);
  const image = join(out, 'image');
  let child: ChildProcess | undefined;
  const kill = (number: number): boolean => {
    if (number === at) child!.kill('SIGKILL');
    return true;
  };
  const command = (...args: string[]): ChildProcess =>
    spawn(process.execPath, [COMMAND, ...args, '--timeout', '3'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const common = { inline: true, timeout: TIMEOUT };
  const idle = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let proxy: CuttingProxy | undefined;
  try {
    if (side === 'source') {
      const { signal } = idle;
      const incoming = await receive({ ...common, uri: 'tcp:127.0.0.1:0', image, signal });
      const opened = await CuttingProxy.open(incoming.uri, kill);
      proxy = opened.proxy;
      proxy.counting = true;
      child = command('send', file, opened.uri, '--quiet');
      child.once('exit', () => (timer = setTimeout(() => idle.abort(), 2 * TIMEOUT)));
      const { error } = await ending(incoming.completed);
      const waited = error?.code === 'ERR_CANCELLED' && at > 0;
      demand(!waited, 'hang', `${wordsOf(proxy.seen)}: the target waits on`);
      demand(error === undefined || at >= 0, 'outcome', `the target: ${error?.message}`);
      await holdsOnly(out, ...(error === undefined ? ['image'] : []));
      if (error === undefined) await check(image, folder);
    } else {
      child = command('receive', 'tcp:127.0.0.1:0', image, '--json');
      const opened = await CuttingProxy.open(await listening(child), kill);
      proxy = opened.proxy;
      proxy.counting = true;
      const blocks = [{ id: 'file', source: CONTENT }];
      const gone = new Promise((resolve) => child!.once('exit', resolve));
      const { error } = await ending(send({ ...common, uri: opened.uri, blocks }));
      demand(error === undefined || at >= 0, 'outcome', `the source: ${error?.message}`);
      await gone;
      const last = wordsOf(proxy.seen);
      // Once the source was told, what it was told is so.
      if (error === undefined) await check(image, folder);
      else if (!WINDOW.has(last)) await absentOrHidden(out);
    }
  } finally {
    clearTimeout(timer);
    child?.kill('SIGKILL');
    await proxy?.close();
  }
  return proxy.seen;
}

function listening(child: ChildProcess): Promise<string> {
  let text = '';
  return new Promise((resolve, reject) => {
    child.stdout!.setEncoding('utf8').on('data', (data: string) => {
      text += data;
      const found = /"uri":"([^"]+)"/.exec(text);
      if (found !== null) resolve(found[1]!);
    });
    child.once('exit', () => reject(new Error('the target ended before it listened')));
  });
}

async function check(image: string, folder: string): Promise<void> {
  await extractBlock(image, 'file', join(folder, 'copy'));
  sameBytes(await readFile(join(folder, 'copy')), CONTENT, 'the image');
}

/** Whoever is killed leaves hidden files, and nothing under the name. */
async function absentOrHidden(out: string): Promise<void> {
  const { error } = await ending(extractBlock(join(out, 'image'), 'file', join(out, 'copy')));
  demand(error?.code === 'ERR_IO', 'torn', 'an image is there that did not complete');
}

async function run({ index, folder, note, kill }: Execution): Promise<void> {
  const side = SIDES[index % SIDES.length]!;
  const at = Math.floor(index / SIDES.length);
  note(`the ${side} is killed before message ${at}`);
  kill();
  note(wordsOf(await migrate(folder, at, side)));
}

export const killedMigrationsPart: Part = {
  name: 'killed migrations',
  what: 'either end of a migration is killed at each of its messages',
  executions: { whole: Infinity, short: 2 },
  // A kill may come some messages late; so the last may be counted and not come.
  points: async (folder) => (await migrate(folder, -1, 'source')).length * SIDES.length,
  run,
};
