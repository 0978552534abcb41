/**
 * The process that has the database afterwards, of Node or Deno: takes it in, lets the writer go
 * on, and looks whether all is there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Home } from './home.ts';
import type { Outcome, TargetMessage } from './messages.ts';
import { readModule } from './module-file.ts';

/** The writer goes on for this long before all is looked at. */
const AFTER_MS = 1000;

async function run(): Promise<Outcome> {
  const home = await Home.open(await readModule());
  const incoming = await home.receive({ uri: 'tcp:127.0.0.1:0' });
  say({ kind: 'listening', uri: incoming.uri });
  await incoming.completed;

  const writer = home.writer!;
  await Promise.race([sleep(AFTER_MS), writer.failure]);
  const pace = writer.pace();
  writer.stop();
  return {
    runtime: runtime(),
    arrived: home.carried!.committed,
    firstCommit: writer.firstCommit!,
    pace,
    checks: home.verify(),
  };
}

function runtime(): string {
  const { deno } = process.versions;
  return deno === undefined ? `Node ${process.versions.node}` : `Deno ${deno}`;
}

function say(message: TargetMessage): void {
  process.send!(message);
}

// Without a source there is nothing to wait for.
const alone = (): never => process.exit(1);
process.once('disconnect', alone);
try {
  say({ kind: 'verified', outcome: await run() });
} catch (error) {
  say({ kind: 'failed', message: (error as Error).message });
  process.exitCode = 1;
}
process.off('disconnect', alone).disconnect();
