/** The process that a program comes to. */
import { setImmediate as turn } from 'node:timers/promises';
import { receive } from 'multifd';
import { type AcceptQueue, openArriving } from './guests.ts';
import { type ClassifiedConnection, CHANNELS, type Measure, type TargetWord } from './measure.ts';
import { awaitNaively } from './naive.ts';

async function wait(measure: Measure): Promise<ClassifiedConnection> {
  const place = await openArriving(measure);
  const { uri, completed } =
    measure.method === 'naive' ? await awaitNaively(place) : await awaitLive(place);
  say({ kind: 'listening', uri });
  await completed;
  const writer = place.writer!;
  while (writer.firstCommit === undefined) await Promise.race([turn(), writer.failure]);
  writer.stop();
  return { first: writer.firstCommit, digest: place.digest(), problems: place.problems() };
}

function awaitLive(place: AcceptQueue): Promise<{ uri: string; completed: Promise<unknown> }> {
  return receive({
    uri: 'tcp:127.0.0.1:0',
    channels: CHANNELS,
    blocks: (block) => place.room(block),
    onDeviceState: (state) => place.keep(state),
    start: () => place.start(),
  });
}

function say(word: TargetWord): void {
  process.send!(word);
}

process.once('message', (measure: Measure) => {
  void wait(measure).then((arrival) => {
    say({ kind: 'arrived', arrival });
    process.disconnect();
  });
});
