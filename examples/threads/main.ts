/**
 * A guest of several threads, in shared memory, moves to another process while its threads work:
 * `npm run example:threads [MEBIBYTES]`.
 *
 * The migration looks for changes in threads of its own, in place, beside the guest's.
 */
import { Guest, type Round } from 'multifd';
import { CHANNELS, Crew, THREADS } from './crew.ts';
import { TargetProcess } from './target-process.ts';

const HERE = new URL('.', import.meta.url);

/** @returns whether all was well. */
async function run(crew: Crew, target: TargetProcess): Promise<boolean> {
  crew.start();
  console.log(
    `${THREADS} threads work on ${crew.memory.buffer.byteLength / 2 ** 20} MiB of shared memory`,
  );
  await crew.onceAround();
  const guest = new Guest({
    blocks: [{ id: 'ram', memory: crew.memory }],
    stop: () => crew.rest(),
    resume: () => crew.resume(),
    throttle: (share) => crew.throttle(share),
  });
  const { downtime } = await guest.migrate({
    uri: await target.says('listening'),
    channels: CHANNELS,
    downtimeLimit: 50,
    autoConverge: true,
    onRound: showRound,
  });

  const arrived = await target.says('arrived');
  console.log(
    `stood still for ${downtime!.toFixed(1)} ms, in pass ${arrived.passes.join(', ')}; pages ` +
      `with a wrong count there: ${arrived.wrong}`,
  );
  const ended = await target.says('ended');
  console.log(
    `went on there to pass ${ended.passes.join(', ')}; pages with a wrong count: ${ended.wrong}`,
  );
  return arrived.wrong + ended.wrong === 0 && String(arrived.passes) === String(crew.passes);
}

function showRound({
  round,
  scanned,
  dirty,
  duration,
  'expected-downtime': expected,
}: Round): void {
  console.log(
    `round ${round}: ${scanned} pages looked at, ${dirty} sent, ${duration.toFixed(0)} ` +
      `ms${expected === null ? '' : `; would stand still for ${expected.toFixed(0)} ms now`}`,
  );
}

let crew: Crew | undefined;
let target: TargetProcess | undefined;
try {
  const mebibytes = Number(process.argv[2] ?? 64);
  if (!Number.isInteger(mebibytes) || mebibytes < 1 || mebibytes > 2048)
    throw new Error('give the size of the memory in MiB, 1 to 2048');
  target = new TargetProcess(new URL('threads-target.js', HERE), mebibytes);
  crew = await Crew.hire(mebibytes, HERE);
  const well = await run(crew, target);
  if (!well) console.error('Something is wrong!');
  process.exitCode = well ? 0 : 1;
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  await crew?.leave();
  target?.stop();
}
