import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { record } from 'multifd';
import { concat } from '../../../support/wire.ts';
import { migration } from '../grammar.ts';
import { demand, holdsOnly, sameBytes } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';
import { hostileScript, playTo } from '../scripts.ts';

async function run({ random, folder, input, note }: Execution): Promise<void> {
  const out = join(folder, 'out');
  await mkdir(out);
  const sent = migration(random);
  const script = hostileScript(random, sent);
  const keep = random.chance(0.3);
  note(`${keep ? 'keep; ' : ''}${script.changes.join('; ') || 'nothing changed'}`);
  input(script.connections.flat().reduce((sum, { length }) => sum + length, 0));
  const idle = new AbortController();
  const rejected: string[] = [];
  const incoming = await record({
    signal: idle.signal,
    onRejected: (why) => void rejected.push(why),
    uri: random.chance(0.8) ? `unix:${folder}/s` : 'tcp:127.0.0.1:0',
    path: join(out, 'rec'),
    timeout: script.sound ? 10_000 : 120,
    keep,
    ...(random.chance(0.5) && { channels: sent.channels.length }),
  });
  const stay = !script.sound && random.chance(0.03);
  const { error } = await playTo(random, incoming, script, { stay, idle, rejected });
  if (error === undefined) await holdsOnly(out, 'rec');
  else if (!keep) await holdsOnly(out);
  if (!script.sound) return;
  demand(error === undefined, 'outcome', `what is right was refused: ${error?.message}`);
  for (const [on, messages] of script.connections.entries()) {
    const file = on === 0 ? 'main' : `channel-${on - 1}`;
    sameBytes(await readFile(join(out, 'rec', file)), concat(...messages), file);
  }
}

export const recordPart: Part = {
  name: 'record',
  what: 'a recorder: the same',
  executions: { whole: 4_000, short: 25 },
  run,
};
