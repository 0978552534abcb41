/** The process that has the database afterwards: takes it in, lets the writer go on, and looks whether all is there. */
import { setTimeout as sleep } from 'node:timers/promises';
import { receive } from 'multifd';
import { Home } from './home.ts';
import { CHANNELS, type Outcome, type TargetMessage } from './messages.ts';

/** The writer goes on for this long before all is looked at. */
const AFTER_MS = 1000;

async function run(): Promise<Outcome> {
  const home = await Home.open();
  const incoming = await receive({
    uri: 'tcp:127.0.0.1:0',
    channels: CHANNELS,
    blocks: (block) => home.room(block),
    onDeviceState: (state) => home.keep(state),
    start: () => home.start(),
  });
  say({ kind: 'listening', uri: incoming.uri });
  await incoming.completed;

  const writer = home.writer!;
  await Promise.race([sleep(AFTER_MS), writer.failure]);
  const pace = writer.pace();
  writer.stop();
  return { arrived: home.carried!.committed, firstCommit: writer.firstCommit!, pace, checks: home.verify() };
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
