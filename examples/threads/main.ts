/**
 * A guest of several threads, in shared memory, moves to another process while its threads work: `npm run example:threads [MEBIBYTES]`.
 *
 * The migration looks for changes in threads of its own, in place, beside the guest's.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Guest } from 'multifd';
import { CHANNELS, Crew, THREADS } from './crew.ts';

const mebibytes = Number(process.argv[2] ?? 64);
const crew = await Crew.hire(mebibytes);
crew.start();
console.log(`${THREADS} threads work on ${mebibytes} MiB of shared memory`);

const target = fork(fileURLToPath(new URL('./threads-target.js', import.meta.url)), [String(mebibytes)]);
const next = async <T>(): Promise<T> => ((await once(target, 'message')) as [T])[0];
const { uri } = await next<{ uri: string }>();

const guest = new Guest({
  blocks: [{ id: 'ram', memory: crew.memory }],
  stop: () => crew.rest(),
  resume: () => crew.leave().then(() => crew.start()),
  throttle: (share) => crew.throttle(share),
});
const arrival = next<{ arrived: number[]; wrong: number }>();
const statistics = await guest.migrate({
  uri,
  channels: CHANNELS,
  downtimeLimit: 50,
  autoConverge: true,
  onRound({ round, scanned, dirty, duration, 'expected-downtime': expected }) {
    console.log(`round ${round}: ${scanned} pages looked at, ${dirty} sent, ${duration.toFixed(0)} ms${expected === null ? '' : `; would stand still for ${expected.toFixed(0)} ms now`}`);
  },
});
const { arrived, wrong } = await arrival;
const passes = crew.passes;
await crew.leave();
console.log(`stood still for ${statistics.downtime!.toFixed(1)} ms, in pass ${arrived.join(', ')}; pages with a wrong count there: ${wrong}`);

const after = await next<{ passes: number[]; wrong: number }>();
console.log(`went on there to pass ${after.passes.join(', ')}; pages with a wrong count: ${after.wrong}`);
if (wrong + after.wrong > 0 || arrived.some((pass, thread) => pass !== passes[thread])) process.exitCode = 1;
