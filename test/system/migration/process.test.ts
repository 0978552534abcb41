import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { withFolder } from '../../support/migration.ts';

const BUILT = new URL('../../../build/index.js', import.meta.url).href;

/**
 * A process of its own, whose timers are all the library's: it prints how each migration ended, and
 * what is still active then.
 */
const PROGRAM = `
  import { setImmediate as turn } from 'node:timers/promises';
  import { connect } from 'node:net';
  import { receive, send } from ${JSON.stringify(BUILT)};

  const inline = process.argv[2] === 'inline';
  const options = { inline, timeout: 3_600_000 };
  const memory = () => new Uint8Array(new SharedArrayBuffer(1 << 20)).fill(1);
  const timers = async (what, work) => {
    const ends = (await Promise.allSettled(await work())).map(({ status, reason }) => reason?.code ?? status);
    const active = () => process.getActiveResourcesInfo().filter((kind) => /Timeout|Worker|MessagePort|Socket|Server|TCP/.test(kind));
    for (let turns = 0; turns < 20_000 && active().length > 0; turns++) await turn();
    console.log(what, ...ends, ...active());
  };
  const pair = async (outgoing, incoming) => {
    const target = await receive({ ...options, uri: 'tcp:127.0.0.1:0', blocks: { ram: memory() }, ...incoming });
    return [send({ ...options, uri: target.uri, blocks: [{ id: 'ram', source: memory() }], ...outgoing }), target.completed];
  };

  await timers('done', () => pair({}, {}));
  await timers('refused', () => pair({}, { blocks: {} }));
  await timers('cancelled', () => pair({ maxBandwidth: 1 }, { signal: AbortSignal.timeout(300) }));
  await timers('rejected', async () => {
    const target = await receive({ ...options, uri: 'tcp:127.0.0.1:0', blocks: {}, signal: AbortSignal.timeout(300) });
    const { port } = new URL(target.uri.replace('tcp:', 'tcp://'));
    connect(Number(port), '127.0.0.1').on('error', () => {}).on('end', function () { this.destroy(); }).resume();
    return [target.completed];
  });
`;

describe('a process', () => {
  it.each(['inline', 'workers'])(
    'has nothing left to wait for when its migrations have ended, with %s',
    async (launcher) => {
      await withFolder(async (folder) => {
        const program = join(folder, 'program.mjs');
        await writeFile(program, PROGRAM);
        const { stdout } = await promisify(execFile)(process.execPath, [program, launcher]);
        expect(stdout.trim().split('\n')).toEqual([
          'done fulfilled fulfilled',
          'refused ERR_REMOTE ERR_BLOCK',
          'cancelled ERR_REMOTE ERR_CANCELLED',
          'rejected ERR_CANCELLED',
        ]);
      });
    },
  );
});
