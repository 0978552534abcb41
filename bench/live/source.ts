/** The process that a program leaves. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Guest } from 'multifd';
import { type Leaving, openLeaving } from './guests.ts';
import { CHANNELS, type Departure, type Measure } from './measure.ts';
import { moveNaively } from './naive.ts';
import type { Pace } from '../../examples/sqlite/writer.ts';

async function leave(measure: Measure, uri: string): Promise<Departure> {
  const leaving = await openLeaving(measure);
  const { writer } = leaving;
  writer.start();
  // Compilers and caches are warm after a while.
  await sleep(measure.before);
  writer.pace();
  await sleep(measure.before);
  const alone = writer.pace();
  let moving: Pace | undefined;
  const stop = writer.stop.bind(writer);
  writer.stop = () => {
    stop();
    moving ??= writer.pace();
  };
  const begun = performance.now();
  const rounds =
    measure.method === 'naive'
      ? await moveNaively(leaving, uri).then(() => 0)
      : await moveLive(leaving, measure, uri);
  const total = performance.now() - begun;
  return {
    last: writer.lastCommit,
    total,
    rounds,
    alone,
    moving: moving!,
    digest: leaving.digest(),
  };
}

async function moveLive(
  { memory, writer, tracking, carry }: Leaving,
  { method, downtimeLimit, scanShare }: Measure,
  uri: string,
): Promise<number> {
  const guest = new Guest({
    blocks: [{ id: 'sqlite', memory, tracking: tracking(method) }],
    stop: () => writer.stop(),
    resume: () => writer.start(),
    deviceState: () => [{ idstr: 'state', instanceId: 0, data: carry() }],
    ...(scanShare !== undefined && { scanShare }),
  });
  const statistics = await guest.migrate({
    uri,
    channels: CHANNELS,
    downtimeLimit,
    maxRounds: 20,
    onMaxRounds: 'stop',
  });
  return statistics.ram['dirty-sync-count'];
}

process.once('message', ({ measure, uri }: { measure: Measure; uri: string }) => {
  void leave(measure, uri).then((departure) => {
    process.send!(departure);
    process.disconnect();
  });
});
