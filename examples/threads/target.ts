/** The process that has the guest afterwards. */
import { receive } from 'multifd';
import { CHANNELS, Crew } from './crew.ts';
import type { TargetMessage } from './target-process.ts';

function say(message: TargetMessage): void {
  process.send!(message);
}

// Without a source there is nothing to wait for.
const alone = (): never => process.exit(1);
process.once('disconnect', alone);

const crew = await Crew.hire(Number(process.argv[2]), new URL('.', import.meta.url));
const incoming = await receive({
  uri: 'tcp:127.0.0.1:0',
  channels: CHANNELS,
  blocks: { ram: crew.memory },
  start() {
    say({ kind: 'arrived', content: crew.state });
    crew.start();
  },
});
say({ kind: 'listening', content: incoming.uri });
await incoming.completed;

// Each page has a count then that was counted up here.
await crew.onceAround();
await crew.rest();
say({ kind: 'ended', content: crew.state });
await crew.leave();
process.off('disconnect', alone).disconnect();
