/** The process that has the database afterwards: boots the same SQLite, takes the memory in, lets the writer go on, and looks whether all is there. */
import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DeviceState, receive } from 'multifd';
import { Ledger } from './ledger.ts';
import { boot } from './machine.ts';
import { BLOCK, type Carried, CHANNELS, type Outcome, type TargetMessage } from './messages.ts';
import { Writer } from './writer.ts';

/** The writer goes on for this long before all is looked at. */
const AFTER_MS = 1000;

async function run(): Promise<Outcome> {
  const machine = await boot();
  const ledger = new Ledger(machine);
  const host = machine.host();
  let carried: Carried | undefined;
  let writer: Writer | undefined;

  const incoming = await receive({
    uri: 'tcp:127.0.0.1:0',
    channels: CHANNELS,
    blocks({ id, usedLength }) {
      if (id !== BLOCK) throw new Error(`the source has a block ${JSON.stringify(id)}: this is no database`);
      machine.grow(usedLength);
      return machine.memory;
    },
    onDeviceState({ data }: DeviceState) {
      carried = JSON.parse(Buffer.from(data).toString()) as Carried;
    },
    start() {
      if (carried === undefined || !isDeepStrictEqual(carried.host, host)) {
        throw new Error(`the source's SQLite was not booted as this one was: ${JSON.stringify(carried?.host)}, here ${JSON.stringify(host)}`);
      }
      ledger.accounts = carried.accounts;
      writer = new Writer((seq) => ledger.transact(seq), carried.committed);
      writer.start();
    },
  });
  say({ kind: 'listening', uri: incoming.uri });
  await incoming.completed;

  await Promise.race([sleep(AFTER_MS), writer!.failure]);
  const pace = writer!.pace();
  writer!.stop();
  return { arrived: carried!.committed, firstCommit: writer!.firstCommit!, pace, checks: ledger.verify(writer!.committed) };
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
