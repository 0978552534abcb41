import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extractBlock, receive, send } from 'multifd';
import { type Cut, CuttingProxy, type Seen } from '../../support/cutting-proxy.ts';
import { Random } from '../../support/random.ts';
import { someMemory } from './bases.ts';
import { demand, ending, holdsOnly, sameBytes } from './oracles.ts';
import type { Execution, Part } from './part.ts';

/** Milliseconds without progress; what stalls waits for it. */
const TIMEOUT = 400;

export const CUTS: readonly Cut[] = (['end', 'reset', 'stall'] as const).flatMap((how) =>
  [false, true].flatMap((inside) => [false, true].map((alone) => ({ how, inside, alone }))),
);

/**
 * The last that was seen where the target has everything and the source does not know: the end of
 * the source's stream, or the target's word on its way back.
 */
export const WINDOW = new Set(['main end', 'main EOF', 'back PONG', 'back SHUT', 'back end']);

export const CONTENT = someMemory(new Random(3), 30);

export const wordsOf = (seen: readonly Seen[]): string => {
  const last = seen.at(-1);
  if (last === undefined) return 'nothing';
  return `${typeof last.on === 'number' ? 'channel' : last.on} ${last.what}`;
};

/** A migration whose connections are cut at message number `at`. */
async function migrate(folder: string, at: number, cut: Cut): Promise<readonly Seen[]> {
  const out = join(folder, 'out');
  await mkdir(out, { recursive: true });
  const image = join(out, 'image');
  const common = { channels: 2, inline: true, timeout: TIMEOUT };
  const idle = new AbortController();
  const { signal } = idle;
  const incoming = await receive({ ...common, uri: 'tcp:127.0.0.1:0', image, signal });
  const completed = ending(incoming.completed);
  completed.catch(() => {});
  const { proxy, uri } = await CuttingProxy.open(incoming.uri, (number) => number !== at, cut);
  proxy.counting = true;
  try {
    const blocks = [{ id: 'ram', source: CONTENT }];
    const source = await ending(send({ ...common, uri, blocks }));
    // A target that nothing has come to goes on waiting for a migration.
    const timer = setTimeout(() => idle.abort(), 10 * TIMEOUT);
    const target = await completed.finally(() => clearTimeout(timer));
    const waited = target.error?.code === 'ERR_CANCELLED' && at > 0;
    demand(!waited, 'hang', `${wordsOf(proxy.seen)}: the target waits on`);
    await holdsOnly(out, ...(target.error === undefined ? ['image'] : []));
    const ends = `source ${source.error?.message}, target ${target.error?.message}`;
    const fate = `${wordsOf(proxy.seen)}: ${ends}`;
    if (source.error === undefined) demand(target.error === undefined, 'outcome', fate);
    else if (target.error === undefined) demand(WINDOW.has(wordsOf(proxy.seen)), 'outcome', fate);
    if (!proxy.cut) demand(source.error === undefined, 'outcome', fate);
    if (target.error === undefined) {
      await extractBlock(image, 'ram', join(folder, 'copy'));
      sameBytes(await readFile(join(folder, 'copy')), CONTENT, 'the image');
    }
  } finally {
    await proxy.close();
  }
  return proxy.seen;
}

async function run({ index, folder, input, note, faultPoint }: Execution): Promise<void> {
  const cut = CUTS[index % CUTS.length]!;
  const at = Math.floor(index / CUTS.length);
  input(CONTENT.length);
  note(`message ${at}, ${cut.how}${cut.inside ? ' within it' : ''}${cut.alone ? ', alone' : ''}`);
  faultPoint();
  note(wordsOf(await migrate(folder, at, cut)));
}

export const connectionsPart: Part = {
  name: 'connections',
  what: 'connections that end, are reset or stall, all or one, before and within each message',
  executions: { whole: Infinity, short: 20 },
  points: async (folder) => (await migrate(folder, -1, {})).length * CUTS.length,
  run,
};
