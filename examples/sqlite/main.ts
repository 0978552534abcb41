/**
 * Moves a live SQLite database, all of it in WebAssembly memory, from this process to another one
 * over TCP with four channels, while a writer works on it as fast as it can. `npm start` runs it;
 * an argument says how many MiB of rows there are to be, `--deno BINARY` that the other process is
 * to be one of Deno.
 */
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { Home } from './home.ts';
import type { Check } from './ledger.ts';
import { readModule } from './module-file.ts';
import {
  checkLine,
  megabytes,
  milliseconds,
  paceLine,
  roundLine,
  roundsHead,
  totalLine,
} from './report.ts';
import { TargetProcess } from './target-process.ts';
import type { Writer } from './writer.ts';

const TARGET = new URL('./sqlite-target.js', import.meta.url);
/** The writer works alone for this long first, so that there is something to compare with. */
const BEFORE_MS = 1000;

/** @returns whether all was well. */
async function run(
  source: Home,
  writer: Writer,
  tracking: 'compare' | 'hash',
  target: TargetProcess,
): Promise<boolean> {
  console.log(
    `${source.ledger.accounts} accounts in ${megabytes(source.memory.buffer.byteLength)} of ` +
      'WebAssembly memory; the writer starts',
  );
  writer.start();
  await Promise.race([sleep(BEFORE_MS), writer.failure]);
  const uri = await target.listening;

  const before = writer.pace();
  console.log(`moving to ${uri}; in pages:\n\n${roundsHead}`);
  const statistics = await Promise.race([
    source.migrate(
      {
        uri,
        downtimeLimit: 50,
        maxRounds: 20,
        onMaxRounds: 'stop',
        autoConverge: true,
        onRound: (round) => console.log(roundLine(round)),
      },
      tracking,
    ),
    writer.failure,
  ]);
  const during = writer.pace();
  during.duration -= statistics.downtime ?? 0;
  const outcome = await target.outcome;

  const left = writer.committed;
  const arrival: Check = {
    name: 'the last transaction at the source, the last that came',
    expected: String(left),
    found: String(outcome.arrived),
  };
  const checks = [arrival, ...outcome.checks];
  console.log(`\n${totalLine(statistics)}\n`);
  console.log(
    [paceLine('before', before), paceLine('moving', during), paceLine('after', outcome.pace)].join(
      '\n',
    ),
  );
  console.log(`\n${checks.map(checkLine).join('\n')}\n`);
  console.log(
    'downtime, from the last commit there to the first commit here: ' +
      `${milliseconds(outcome.firstCommit - writer.lastCommit)}`,
  );
  return checks.every(({ expected, found }) => expected === found) && outcome.pace.transactions > 0;
}

interface Arguments {
  mib: number;
  tracking: 'compare' | 'hash';
  deno: string | undefined;
}

function readArguments(): Arguments {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { tracking: { type: 'string', default: 'compare' }, deno: { type: 'string' } },
  });
  const mib = Number(positionals[0] ?? 256);
  if (positionals.length > 1 || !(mib > 0 && mib <= 1536))
    throw new Error('give the size of the database in MiB, 1 to 1536');
  if (values.tracking !== 'compare' && values.tracking !== 'hash')
    throw new Error('--tracking: give compare or hash');
  return { mib, tracking: values.tracking, deno: values.deno };
}

let writer: Writer | undefined;
let target: TargetProcess | undefined;
try {
  const { mib, tracking, deno } = readArguments();
  target = new TargetProcess(TARGET, deno);
  const source = await Home.open(await readModule());
  writer = source.found(mib * 2 ** 20);
  const well = await run(source, writer, tracking, target);
  console.log(
    well
      ? `All is there, and the writer goes on in ${(await target.outcome).runtime}.`
      : 'Something is wrong!',
  );
  process.exitCode = well ? 0 : 1;
} catch (error) {
  console.error((error as Error).message);
  // If it failed as well, it knows more.
  await target?.outcome.catch(({ message }: Error) => console.error(message));
  process.exitCode = 1;
} finally {
  writer?.stop();
  target?.stop();
}
