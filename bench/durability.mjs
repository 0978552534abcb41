/**
 * What it costs that an image is on the disk when it is said to be: a guest's first snapshot, which
 * captures all of its memory, and a second one, which updates the image. Measured are this build
 * and the same build when nothing is ever synced; and another build, such as that of the commit
 * before a change. In each round all of them take turns, in fresh processes, on the same disk.
 *
 *     node bench/durability.mjs [--before CHECKOUT] [--folder FOLDER] [--rounds 10] [--mib 256]
 *                               [--changed 0.02]
 *
 * CHECKOUT has been built. FOLDER is where the images go (default: the one for temporary files);
 * in memory there is nothing to measure.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const PAGE = 4096;
const MIB = 2 ** 20;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const WHAT = ['first snapshot', 'second snapshot'];

if (process.send === undefined) await compare();
else process.once('message', (order) => void measure(order));

async function compare() {
  const { values } = parseArgs({
    options: {
      before: { type: 'string' },
      folder: { type: 'string', default: tmpdir() },
      rounds: { type: 'string', default: '10' },
      mib: { type: 'string', default: '256' },
      changed: { type: 'string', default: '0.02' },
    },
  });
  const contenders = [
    { name: 'this build', root: ROOT, syncs: true },
    { name: 'this build, nothing synced', root: ROOT, syncs: false },
    ...(values.before === undefined
      ? []
      : [{ name: 'before', root: resolve(values.before), syncs: true }]),
  ].map((contender) => ({ ...contender, samples: [] }));
  const folder = await mkdtemp(join(values.folder, 'multifd-durability-'));
  try {
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
        const { root, syncs } = contender;
        contender.samples.push(
          await inProcess({
            root,
            syncs,
            folder,
            mib: Number(values.mib),
            changed: Number(values.changed),
          }),
        );
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  console.log(
    `${values.mib} MiB, ${100 * Number(values.changed)} % of the pages changed; ` +
      `${values.rounds} rounds: medians (least-most)`,
  );
  for (const [index, what] of WHAT.entries()) {
    const own = contenders[0].samples.map((sample) => sample[index]);
    for (const { name, samples } of contenders) {
      const of = samples.map((sample) => sample[index]);
      const ratio =
        name === contenders[0].name
          ? ''
          : `; this build's time of it ${spread(
              own.map((time, round) => time / of[round]),
              2,
            )}`;
      console.log(`${what}, ${name}: ${spread(of, 0)} ms${ratio}`);
    }
  }
}

async function inProcess(order) {
  const child = fork(fileURLToPath(import.meta.url), { execArgv: ['--no-warnings'] });
  try {
    child.send(order);
    const [sample] = await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => Promise.reject(new Error('a process has ended'))),
    ]);
    return sample;
  } finally {
    child.kill();
  }
}

function spread(values, digits) {
  const sorted = values.toSorted((one, other) => one - other);
  const [median, least, most] = [sorted[sorted.length >> 1], sorted[0], sorted.at(-1)].map(
    (value) => value.toFixed(digits),
  );
  return `${median} (${least}-${most})`;
}

async function measure({ root, syncs, folder, mib, changed }) {
  if (!syncs) await syncNothing();
  const { Guest } = await import(pathToFileURL(join(root, 'build/index.js')).href);
  const memory = new WebAssembly.Memory({ initial: mib * 16 });
  const words = new Uint32Array(memory.buffer);
  for (let at = 0; at < words.length; at++) words[at] = at * 2654435761;
  const guest = new Guest({ blocks: [{ id: 'heap', memory }], stop() {}, resume() {} });
  const path = join(folder, 'image');
  const sample = [];
  for (const _what of WHAT) {
    const begun = performance.now();
    await guest.snapshot({ path });
    sample.push(performance.now() - begun);
    const every = Math.round(1 / changed);
    for (let page = 0; page < (mib * MIB) / PAGE; page += every) words[(page * PAGE) / 4]++;
  }
  await rm(path);
  process.send(sample);
}

async function syncNothing() {
  const handle = await open(fileURLToPath(import.meta.url));
  Object.getPrototypeOf(handle).sync = async () => {};
  await handle.close();
}
